// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// significant formats a figure with two significant digits. Runs differ by more than the third.
func significant(v float64) string {
	if v == 0 {
		return "0"
	}
	if v == math.Trunc(v) && math.Abs(v) < 100 {
		return strconv.Itoa(int(v)) // such as a number of allocations
	}
	decimals := func(v float64) int { return 1 - int(math.Floor(math.Log10(math.Abs(v)))) }
	scale := math.Pow10(decimals(v))
	rounded := math.Round(v*scale) / scale
	return thousands(strconv.FormatFloat(rounded, 'f', max(decimals(rounded), 0), 64))
}

// number formats an exact number.
func number(n int) string { return thousands(strconv.Itoa(n)) }

// thousands separates the thousands of a number by commas.
func thousands(digits string) string {
	whole, fraction, _ := strings.Cut(digits, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return whole
}

// String formats the value, with the 10th and 90th percentile in parentheses. Ratios have two decimals,
// because a difference of 3% matters. It returns nothing if nothing was measured.
func (s spread) String() string {
	if s.Value == 0 {
		return ""
	}
	format := significant
	if s.High < 10 {
		format = func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
	}
	return fmt.Sprintf("%s (%s-%s)", format(s.Value), format(s.Low), format(s.High))
}

// withPrecision is String with half of the 95% confidence interval of the value.
func (s spread) withPrecision() string {
	text := s.String()
	if math.IsInf(s.Precision, 0) || s.Precision == 0 {
		return text
	}
	median, rest, _ := strings.Cut(text, " ")
	return fmt.Sprintf("%s ±%.2f %s", median, s.Precision*s.Value, rest)
}

// memoryText formats a number of MiB.
func memoryText(mebibytes float64) string {
	if mebibytes < 1000 {
		return significant(mebibytes) + " MiB"
	}
	return significant(mebibytes/1024) + " GiB"
}
