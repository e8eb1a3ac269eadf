package fieldpolicy

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// BenchmarkKeep is the question that every update asks.
func BenchmarkKeep(b *testing.B) {
	for _, tc := range []struct {
		name    string
		change  func(*batchv1.Job)
		allowed bool
	}{
		{"allowed", func(j *batchv1.Job) { j.Labels["app"] = "x" }, true},
		{"refused", func(j *batchv1.Job) { podSpec(j).Containers[1].Image = "x" }, false},
	} {
		b.Run(tc.name, func(b *testing.B) {
			new, old := update(b, tc.change)
			b.ReportAllocs()
			for b.Loop() {
				if _, allowed := bootstrap.Keep(new, old, anyone); allowed != tc.allowed {
					b.Fatalf("allowed=%t", allowed)
				}
			}
		})
	}
}

// BenchmarkJudge is what an update that Keep does not allow costs besides.
func BenchmarkJudge(b *testing.B) {
	for _, tc := range []struct {
		name   string
		change func(*batchv1.Job)
	}{
		{"one", func(j *batchv1.Job) { podSpec(j).Containers[1].Image = "x" }},
		{"template", func(j *batchv1.Job) { j.Spec.Template.Spec = corev1.PodSpec{} }},
	} {
		b.Run(tc.name, func(b *testing.B) {
			new, old := update(b, tc.change)
			newV1, oldV1 := v1Job(b, new), v1Job(b, old)
			b.ReportAllocs()
			for b.Loop() {
				if v := bootstrap.Judge(newV1, oldV1, anyone, nil); len(v.Refused()) == 0 {
					b.Fatal("nothing is refused")
				}
			}
		})
	}
}
