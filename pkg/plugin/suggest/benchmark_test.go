// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkLog reads a log of a million events of 200 users in 100 namespaces, and suggests policies.
func BenchmarkLog(b *testing.B) {
	var text strings.Builder
	for i := range 10_000 {
		e := logged{
			user: fmt.Sprintf("user-%d", i%200), groups: []string{"dev", "system:authenticated"}, namespace: fmt.Sprintf("ns-%d", i*7%100), decision: "deny",
			paths: []string{"spec.suspend", fmt.Sprintf(`metadata.annotations["example.com/%d"]`, i%30)}, labels: map[string]string{"app": fmt.Sprint(i % 20), "team": "x"},
		}
		text.WriteString(e.line(b, i%60))
	}
	for b.Loop() {
		l := NewLog("")
		for range 100 {
			if err := l.Read(strings.NewReader(text.String()), func(int) {}); err != nil {
				b.Fatal(err)
			}
		}
		suggestions := l.Suggest()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		b.ReportMetric(float64(len(suggestions)), "policies")
		b.ReportMetric(float64(memory.HeapSys)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(l.Events), "events")
	}
}
