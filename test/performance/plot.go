// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/batchgate/batchgate/hack/svg"
)

// costPlot draws the throughput of patches with each alternative as horizontal bars, with a line from
// the slowest to the fastest round.
func (r *results) costPlot() string {
	const (
		width, left, right = 800.0, 240.0, 30.0
		top, row, thick    = 76.0, 42.0, 24.0
	)
	shown := []*variant{native, withAdmissionPolicy, aggregated, withWebhook}
	throughput := func(v *variant) spread { return r.of(cell{v.name, "patch", 32, withRole}, perSecond) }
	fastest := 0.0
	for _, v := range shown {
		fastest = max(fastest, throughput(v).High)
	}
	x := func(perSecond float64) float64 { return left + perSecond/fastest*(width-left-right) }

	height := top + row*float64(len(shown))
	d := svg.New("make bench BENCH=-update-docs", "Updates of Jobs per second with kube-apiserver alone, a ValidatingAdmissionPolicy, Batchgate and a validating webhook", width)
	d.Rect("page", 0.5, 0.5, width-1, height-1)
	d.Text("title", 20, 30, "Updates of Jobs per second")
	d.Text("muted", 20, 50, fmt.Sprintf("32 users with a role on %d shared cores. The thin lines connect the slowest and the fastest of %d rounds.", r.cores(), r.Rounds))
	for i, v := range shown {
		s := throughput(v)
		y := top + row*float64(i)
		middle := y + thick/2
		bar := "bar"
		if v.batchgate {
			bar = "accent"
		}
		d.Text("heading end", left-12, middle+5, v.label)
		d.Rect(bar, left, y, x(s.Median)-left, thick)
		d.Line("spread", svg.Point{X: x(s.Low), Y: middle}, svg.Point{X: x(s.High), Y: middle})
		d.Text("heading inverse", left+10, middle+5, significant(s.Median))
	}
	return d.Encode(height)
}

// cores returns the number of cores of the machine.
func (r *results) cores() int {
	var cores int
	_, _ = fmt.Sscan(r.Machine, &cores)
	return cores
}
