// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package svg

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestFormatValue(t *testing.T) {
	for _, tc := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0, "short", "0"},
		{1234, "short", "1234"},
		{12345, "short", "12.3 k"},
		{2.5, "reqps", "2.5 req/s"},
		{0.0123, "percentunit", "1.23%"},
		{128 << 20, "bytes", "128 MiB"},
		{0.00497, "s", "4.97 ms"},
		{0, "s", "0 s"},
		{90, "s", "90 s"},
		{600, "s", "10 min"},
		{365 * 86400, "s", "365 days"},
		{7, "unknown", "7"},
	} {
		if got := FormatValue(tc.value, tc.unit); got != tc.want {
			t.Errorf("FormatValue(%g, %s) = %q, want %q", tc.value, tc.unit, got, tc.want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tc := range []struct {
		top  float64
		unit string
		want []float64
	}{
		{0, "short", []float64{0, 1}},
		{4, "short", []float64{0, 1, 2, 3, 4}},
		{4.1, "short", []float64{0, 2, 4, 6}},
		{0.09, "s", []float64{0, 0.05, 0.1}},
		{130 << 20, "bytes", []float64{0, 50 << 20, 100 << 20, 150 << 20}},
	} {
		if diff := cmp.Diff(tc.want, Ticks(tc.top, tc.unit), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Errorf("Ticks(%g, %s) (-want +got):\n%s", tc.top, tc.unit, diff)
		}
	}
}

func TestDocument_Chart(t *testing.T) {
	chart := Chart{Unit: "reqps", From: 0, To: 600}
	for i := range 30 {
		chart.Lines = append(chart.Lines, ChartLine{
			Label:  fmt.Sprintf("line-%02d", i),
			Points: []Point{{0, float64(i)}, {10, 0}, {300, 1}, {310, 1}},
		})
	}
	d := New("make picture", "chart", 300)
	d.Chart(chart, Box{0, 0, 300, 200})
	picture := d.Encode(200)
	found := texts(t, picture)
	for _, want := range []string{"0 req/s", "30 req/s", "0 min", "9 min", "line-29"} {
		if !slices.Contains(found, want) {
			t.Errorf("the chart has no text %q: %q", want, found)
		}
	}
	// Each line has a gap. Four ticks make the grid.
	if n := strings.Count(picture, "<path"); n != 2*30+4 {
		t.Errorf("%d paths, want 64", n)
	}
	shown := slices.IndexFunc(found, func(s string) bool { return strings.HasPrefix(s, "and ") })
	if shown < 0 || slices.Contains(found, "line-00") {
		t.Errorf("the legend does not count the lines without room: %q", found)
	}
}

func TestLegendOf_NothingToShow(t *testing.T) {
	if legend := legendOf(nil, 100); len(legend) != 1 || len(legend[0]) != 0 {
		t.Errorf("legend %v, want an empty row", legend)
	}
}
