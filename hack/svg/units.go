// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package svg

import (
	"math"
	"strconv"
)

// scale is a unit for values from a limit on.
type scale struct {
	from, factor float64
	suffix       string
}

// scales has Grafana's names of units. Each list starts with the largest scale.
var scales = map[string][]scale{
	"short":       {{1e6, 1e6, " M"}, {1e4, 1e3, " k"}, {0, 1, ""}},
	"reqps":       {{0, 1, " req/s"}},
	"ops":         {{0, 1, " ops/s"}},
	"percentunit": {{0, 0.01, "%"}},
	"bytes":       {{1 << 30, 1 << 30, " GiB"}, {1 << 20, 1 << 20, " MiB"}, {1 << 10, 1 << 10, " KiB"}, {0, 1, " B"}},
	"s":           {{2 * 86400, 86400, " days"}, {2 * 3600, 3600, " h"}, {120, 60, " min"}, {1, 1, " s"}, {1e-3, 1e-3, " ms"}, {1e-6, 1e-6, " µs"}, {0, 1, " s"}},
}

// scaleFor returns the scale for a value. Values of an unknown unit are not scaled.
func scaleFor(value float64, unit string) scale {
	for _, s := range scales[unit] {
		if math.Abs(value) >= s.from {
			return s
		}
	}
	return scale{factor: 1}
}

// FormatValue formats a value with three significant digits. The unit has one of Grafana's names: short,
// reqps, ops, percentunit, bytes, s.
func FormatValue(value float64, unit string) string {
	s := scaleFor(value, unit)
	scaled := value / s.factor
	digits := 3
	if math.Abs(scaled) >= 100 {
		digits = int(math.Log10(math.Abs(scaled))) + 1
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(scaled, 'g', digits, 64), 64)
	return strconv.FormatFloat(rounded, 'f', -1, 64) + s.suffix
}

// Ticks returns values for an axis from 0 to at least top.
func Ticks(top float64, unit string) []float64 {
	if top <= 0 {
		return []float64{0, 1}
	}
	factor := scaleFor(top, unit).factor
	// At most four steps of 1, 2 or 5 times a power of ten.
	magnitude := math.Pow(10, math.Floor(math.Log10(top/factor/4)))
	step := 10 * magnitude
	for _, multiple := range []float64{1, 2, 5} {
		if multiple*magnitude*4 >= top/factor*(1-1e-9) {
			step = multiple * magnitude
			break
		}
	}
	ticks := []float64{0}
	for i := 1; ticks[len(ticks)-1] < top*(1-1e-9); i++ {
		ticks = append(ticks, float64(i)*step*factor)
	}
	return ticks
}
