// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/batchgate/batchgate/hack/svg"
)

// costPlot draws the throughput of patches by arm as horizontal bars, as a multiple of kube-apiserver
// alone, with a line from the 10th to the 90th percentile.
func (r *results) costPlot() string {
	const (
		width, left, right = 800.0, 240.0, 30.0
		top, row, thick    = 76.0, 42.0, 24.0
	)
	shown := []string{native, withAdmissionPolicy, aggregated, withWebhook}
	m := r.find(measurement{Operation: "patch", User: withRole, Clients: 16})
	throughput := func(arm string) spread { return m.ratio(arm, perSecond, native, perSecond) }
	fastest := 0.0
	for _, arm := range shown {
		fastest = max(fastest, throughput(arm).High)
	}
	x := func(ratio float64) float64 { return left + ratio/fastest*(width-left-right) }

	height := top + row*float64(len(shown))
	d := svg.New("make bench BENCH=-update-docs", "Updates of Jobs per second with kube-apiserver alone, a ValidatingAdmissionPolicy, Batchgate and a validating webhook", width)
	d.Rect("page", 0.5, 0.5, width-1, height-1)
	d.Text("title", 20, 30, "Updates of Jobs per second, kube-apiserver alone = 1")
	d.Text("muted", 20, 50, fmt.Sprintf("16 clients of a user with a role on %d shared cores. The thin lines connect the 10th and 90th percentile of %d rounds.", r.cores(), len(m.Rounds)))
	for i, arm := range shown {
		s := throughput(arm)
		y := top + row*float64(i)
		middle := y + thick/2
		bar := "bar"
		if arm == aggregated {
			bar = "accent"
		}
		d.Text("heading end", left-12, middle+5, arm)
		d.Rect(bar, left, y, x(s.Value)-left, thick)
		d.Line("spread", svg.Point{X: x(s.Low), Y: middle}, svg.Point{X: x(s.High), Y: middle})
		d.Text("heading inverse", left+10, middle+5, significant(s.Value))
	}
	return d.Encode(height)
}

// cores returns the number of cores of the machine.
func (r *results) cores() int {
	var cores int
	_, _ = fmt.Sscan(r.Machine, &cores)
	return cores
}
