// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// significant formats a figure with two significant digits. The rounds differ by more than the third.
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

// String formats the median, with the lowest and highest figure in parentheses. It returns nothing if
// nothing was measured.
func (s spread) String() string {
	if s.Median == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s-%s)", significant(s.Median), significant(s.Low), significant(s.High))
}

// memoryText formats a number of MiB.
func memoryText(mebibytes float64) string {
	if mebibytes < 1000 {
		return significant(mebibytes) + " MiB"
	}
	return significant(mebibytes/1024) + " GiB"
}
