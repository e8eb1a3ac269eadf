package integration

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

const (
	writers       = 8
	writesOfOne   = 12
	counter       = "count"
	conflictLimit = 100000 // retries until a conflict that never ends is noticed
)

// concurrently runs f as several writers and fails the test with what any of them returns.
func concurrently(t *testing.T, f func(ctx context.Context, writer int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			if err := f(ctx, writer); err != nil {
				t.Errorf("writer %d: %v", writer, err)
			}
		})
	}
	group.Wait()
}

// TestConcurrentIncrementsAreAllKept lets writers count in a label, each guarding its write by
// what it read. A lost update would leave the count too low.
func TestConcurrentIncrementsAreAllKept(t *testing.T) {
	t.Parallel()
	typed, _ := shared.admin.clientset(t)
	for name, increment := range map[string]func(ctx context.Context, namespace string) error{
		"an update that states its resource version": func(ctx context.Context, namespace string) error {
			jobs := typed.BatchV1().Jobs(namespace)
			backoff := retry.DefaultRetry
			backoff.Steps = conflictLimit
			return retry.RetryOnConflict(backoff, func() error {
				job, err := jobs.Get(ctx, "pi", metav1.GetOptions{})
				if err != nil {
					return err
				}
				job.Labels[counter] = next(job)
				_, err = jobs.Update(ctx, job, metav1.UpdateOptions{})
				return err
			})
		},
		"a JSON Patch that tests the label": func(ctx context.Context, namespace string) error {
			for range conflictLimit {
				read, err := typed.BatchV1().Jobs(namespace).Get(ctx, "pi", metav1.GetOptions{})
				if err != nil {
					return err
				}
				body := fmt.Sprintf(`[{"op":"test","path":"/metadata/labels/%[1]s","value":%[2]q},{"op":"replace","path":"/metadata/labels/%[1]s","value":%[3]q}]`,
					counter, read.Labels[counter], next(read))
				a, err := shared.admin.send(ctx, request{
					method: http.MethodPatch, path: jobPath(namespace, "pi"), contentType: jsonPatch, body: []byte(body),
				})
				switch {
				case err != nil:
					return err
				case a.code == http.StatusOK:
					return nil
				case a.code != http.StatusUnprocessableEntity && a.code != http.StatusConflict:
					return fmt.Errorf("the answer is %d: %s", a.code, a.body)
				}
			}
			return fmt.Errorf("the label was never the tested one")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			shared.admin.create(t, namespace, newJob(t, func(job *batchv1.Job) { job.Labels[counter] = "0" }))
			concurrently(t, func(ctx context.Context, _ int) error {
				for range writesOfOne {
					if err := increment(ctx, namespace); err != nil {
						return err
					}
				}
				return nil
			})
			if got, want := shared.read(t, jobKey(namespace, "pi")).job(t).Labels[counter], strconv.Itoa(writers*writesOfOne); got != want {
				t.Errorf("the count is %s, want %s", got, want)
			}
		})
	}
}

func next(job *batchv1.Job) string {
	n, err := strconv.Atoi(job.Labels[counter])
	if err != nil {
		return "NaN"
	}
	return strconv.Itoa(n + 1)
}

// TestConcurrentPatchesOfDifferentFieldsAllSurvive sends patches that state no version: the
// server puts each onto the Job as it is by then.
func TestConcurrentPatchesOfDifferentFieldsAllSurvive(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{mergePatch, strategicPatch, jsonPatch} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			shared.admin.create(t, namespace, newJob(t))
			concurrently(t, func(ctx context.Context, writer int) error {
				for i := range writesOfOne {
					body := fmt.Sprintf(`{"metadata":{"labels":{"w%d-%d":"x"}}}`, writer, i)
					if contentType == jsonPatch {
						body = fmt.Sprintf(`[{"op":"add","path":"/metadata/labels/w%d-%d","value":"x"}]`, writer, i)
					}
					a, err := shared.admin.send(ctx, request{
						method: http.MethodPatch, path: jobPath(namespace, "pi"), contentType: contentType, body: []byte(body),
					})
					if err != nil {
						return err
					}
					// The server gives up after five conflicts of its own.
					if a.code == http.StatusConflict {
						return fmt.Errorf("a patch without a version conflicts: %s", a.body)
					}
					if a.code != http.StatusOK {
						return fmt.Errorf("the answer is %d: %s", a.code, a.body)
					}
				}
				return nil
			})
			labels := shared.read(t, jobKey(namespace, "pi")).job(t).Labels
			for writer := range writers {
				for i := range writesOfOne {
					if label := fmt.Sprintf("w%d-%d", writer, i); labels[label] != "x" {
						t.Errorf("label %s is lost", label)
					}
				}
			}
		})
	}
}

// TestOneOfManyUpdatesFromTheSameReadWins starts all writers from one resource version.
func TestOneOfManyUpdatesFromTheSameReadWins(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	job := shared.admin.create(t, namespace, newJob(t))
	codes := make([]int, writers)
	concurrently(t, func(ctx context.Context, writer int) error {
		mine := job.DeepCopy()
		mine.Labels["winner"] = strconv.Itoa(writer)
		a, err := shared.admin.send(ctx, request{method: http.MethodPut, path: jobPath(namespace, "pi"), body: encode(t, mine)})
		if err != nil {
			return err
		}
		codes[writer] = a.code
		return nil
	})
	winner := shared.read(t, jobKey(namespace, "pi")).job(t).Labels["winner"]
	for writer, code := range codes {
		want := http.StatusConflict
		if strconv.Itoa(writer) == winner {
			want = http.StatusOK
		}
		if code != want {
			t.Errorf("writer %d is answered with %d, want %d; the winner is %s", writer, code, want, winner)
		}
	}
}

// TestARefusedChangeNeverSlipsInBesideAllowedOnes has some writers try, all the time, what
// others are allowed to.
func TestARefusedChangeNeverSlipsInBesideAllowedOnes(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	concurrently(t, func(ctx context.Context, writer int) error {
		for i := range writesOfOne {
			body, want := fmt.Sprintf(`{"metadata":{"labels":{"w%d":"%d"}}}`, writer, i), http.StatusOK
			if writer%2 == 1 {
				body, want = fmt.Sprintf(`{"metadata":{"labels":{"w%d":"%d"}},"spec":{"backoffLimit":%d}}`, writer, i, 100+i), http.StatusUnprocessableEntity
			}
			a, err := shared.admin.send(ctx, request{method: http.MethodPatch, path: jobPath(namespace, "pi"), contentType: mergePatch, body: []byte(body)})
			if err != nil {
				return err
			}
			if a.code != want {
				return fmt.Errorf("the answer is %d, want %d: %s", a.code, want, a.body)
			}
		}
		return nil
	})
	job := shared.read(t, jobKey(namespace, "pi")).job(t)
	if *job.Spec.BackoffLimit != 4 {
		t.Errorf("the backoffLimit is %d, want 4", *job.Spec.BackoffLimit)
	}
	for writer := range writers {
		if label, ok := job.Labels[fmt.Sprintf("w%d", writer)]; ok != (writer%2 == 0) {
			t.Errorf("the label of writer %d is %q", writer, label)
		}
	}
}
