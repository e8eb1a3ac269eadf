// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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
	writers         = 8
	writesPerWriter = 12
	counterLabel    = "count"
	maxRetries      = 100000 // of one write, so that endless conflicts fail the test
)

// concurrently runs f once per writer and fails the test if any of them returns an error.
func concurrently(t *testing.T, f func(ctx context.Context, writer int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
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

// Writers increment a number in a label, and each write has a precondition on the value it read.
// If an update is lost, the number is too low.
func TestConcurrentIncrementsAllCounted(t *testing.T) {
	t.Parallel()
	typed, _ := shared.admin.clientset(t)
	for name, increment := range map[string]func(ctx context.Context, namespace string) error{
		"PUT with resource version": func(ctx context.Context, namespace string) error {
			jobs := typed.BatchV1().Jobs(namespace)
			backoff := retry.DefaultRetry
			backoff.Steps = maxRetries
			return retry.RetryOnConflict(backoff, func() error {
				job, err := jobs.Get(ctx, "pi", metav1.GetOptions{})
				if err != nil {
					return err
				}
				job.Labels[counterLabel] = incremented(job)
				_, err = jobs.Update(ctx, job, metav1.UpdateOptions{})
				return err
			})
		},
		"JSON Patch with test of the label": func(ctx context.Context, namespace string) error {
			for range maxRetries {
				read, err := typed.BatchV1().Jobs(namespace).Get(ctx, "pi", metav1.GetOptions{})
				if err != nil {
					return err
				}
				body := fmt.Sprintf(`[{"op":"test","path":"/metadata/labels/%[1]s","value":%[2]q},{"op":"replace","path":"/metadata/labels/%[1]s","value":%[3]q}]`,
					counterLabel, read.Labels[counterLabel], incremented(read))
				resp, err := shared.admin.send(ctx, request{
					method: http.MethodPatch, path: jobPath(namespace, "pi"), contentType: jsonPatch, body: []byte(body),
				})
				switch {
				case err != nil:
					return err
				case resp.code == http.StatusOK:
					return nil
				case resp.code != http.StatusUnprocessableEntity && resp.code != http.StatusConflict:
					return fmt.Errorf("got status %d: %s", resp.code, resp.body)
				}
			}
			return fmt.Errorf("test of the label failed %d times", maxRetries)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			shared.admin.create(t, namespace, newJob(t, func(job *batchv1.Job) { job.Labels[counterLabel] = "0" }))
			concurrently(t, func(ctx context.Context, _ int) error {
				for range writesPerWriter {
					if err := increment(ctx, namespace); err != nil {
						return err
					}
				}
				return nil
			})
			if got, want := shared.read(t, jobKey(namespace, "pi")).job(t).Labels[counterLabel], strconv.Itoa(writers*writesPerWriter); got != want {
				t.Errorf("count is %s, want %s", got, want)
			}
		})
	}
}

func incremented(job *batchv1.Job) string {
	n, err := strconv.Atoi(job.Labels[counterLabel])
	if err != nil {
		return "NaN"
	}
	return strconv.Itoa(n + 1)
}

// The patches have no resource version. The server applies each to the latest Job.
func TestConcurrentPatchesAllApplied(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{mergePatch, strategicPatch, jsonPatch} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			shared.admin.create(t, namespace, newJob(t))
			concurrently(t, func(ctx context.Context, writer int) error {
				for i := range writesPerWriter {
					body := fmt.Sprintf(`{"metadata":{"labels":{"w%d-%d":"x"}}}`, writer, i)
					if contentType == jsonPatch {
						body = fmt.Sprintf(`[{"op":"add","path":"/metadata/labels/w%d-%d","value":"x"}]`, writer, i)
					}
					resp, err := shared.admin.send(ctx, request{
						method: http.MethodPatch, path: jobPath(namespace, "pi"), contentType: contentType, body: []byte(body),
					})
					if err != nil {
						return err
					}
					// The server returns this after five internal conflicts.
					if resp.code == http.StatusConflict {
						return fmt.Errorf("conflict for a patch without resource version: %s", resp.body)
					}
					if resp.code != http.StatusOK {
						return fmt.Errorf("got status %d: %s", resp.code, resp.body)
					}
				}
				return nil
			})
			labels := shared.read(t, jobKey(namespace, "pi")).job(t).Labels
			for writer := range writers {
				for i := range writesPerWriter {
					if label := fmt.Sprintf("w%d-%d", writer, i); labels[label] != "x" {
						t.Errorf("label %s is lost", label)
					}
				}
			}
		})
	}
}

// All writers update the same resource version.
func TestConcurrentUpdatesOneWins(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	job := shared.admin.create(t, namespace, newJob(t))
	codes := make([]int, writers)
	concurrently(t, func(ctx context.Context, writer int) error {
		mine := job.DeepCopy()
		mine.Labels["winner"] = strconv.Itoa(writer)
		resp, err := shared.admin.send(ctx, request{method: http.MethodPut, path: jobPath(namespace, "pi"), body: encode(t, mine)})
		if err != nil {
			return err
		}
		codes[writer] = resp.code
		return nil
	})
	winner := shared.read(t, jobKey(namespace, "pi")).job(t).Labels["winner"]
	for writer, code := range codes {
		want := http.StatusConflict
		if strconv.Itoa(writer) == winner {
			want = http.StatusOK
		}
		if code != want {
			t.Errorf("writer %d got status %d, want %d; writer %s won", writer, code, want, winner)
		}
	}
}

// Half of the writers send allowed changes. The others add a denied change to them.
func TestConcurrentDeniedChangeNeverStored(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	concurrently(t, func(ctx context.Context, writer int) error {
		for i := range writesPerWriter {
			body, want := fmt.Sprintf(`{"metadata":{"labels":{"w%d":"%d"}}}`, writer, i), http.StatusOK
			if writer%2 == 1 {
				body, want = fmt.Sprintf(`{"metadata":{"labels":{"w%d":"%d"}},"spec":{"backoffLimit":%d}}`, writer, i, 100+i), http.StatusUnprocessableEntity
			}
			resp, err := shared.admin.send(ctx, request{method: http.MethodPatch, path: jobPath(namespace, "pi"), contentType: mergePatch, body: []byte(body)})
			if err != nil {
				return err
			}
			if resp.code != want {
				return fmt.Errorf("got status %d, want %d: %s", resp.code, want, resp.body)
			}
		}
		return nil
	})
	job := shared.read(t, jobKey(namespace, "pi")).job(t)
	if *job.Spec.BackoffLimit != 4 {
		t.Errorf("stored backoffLimit is %d, want 4", *job.Spec.BackoffLimit)
	}
	for writer := range writers {
		if label, ok := job.Labels[fmt.Sprintf("w%d", writer)]; ok != (writer%2 == 0) {
			t.Errorf("label of writer %d is %q", writer, label)
		}
	}
}
