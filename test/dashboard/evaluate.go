// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/batchgate/batchgate/hack/svg"
	"github.com/batchgate/batchgate/test/framework"
)

// panel is a panel of the dashboard with its data.
type panel struct {
	framework.Panel
	series []series
}

// series is a line of a panel.
type series struct {
	labels map[string]string
	// name is the legend.
	name   string
	points []svg.Point
	// last is the value at the end of the recording, or NaN.
	last float64
}

// evaluate evaluates the queries of all panels. It returns the time of their first and last points.
func evaluate(ctx context.Context, dashboard *framework.Dashboard, scrapes []framework.Scrape) (panels []panel, from, to float64, err error) {
	const (
		rateSeconds = 30
		step        = 10
	)
	if len(scrapes) == 0 {
		return nil, 0, 0, errors.New("the recording is empty")
	}
	// The first rates need some scrapes.
	from, to = scrapes[0].Time+rateSeconds, scrapes[len(scrapes)-1].Time
	request := framework.PromQLRequest{Start: from, Time: to, Step: step, Scrapes: scrapes}
	for _, p := range dashboard.Panels {
		request.Queries = append(request.Queries, p.Queries(strconv.Itoa(rateSeconds)+"s")...)
	}
	response, err := framework.PromQL(ctx, request)
	if err != nil {
		return nil, 0, 0, err
	}
	results := response.Queries
	for _, p := range dashboard.Panels {
		evaluated := panel{Panel: p}
		for _, target := range p.Targets {
			for _, s := range results[0].Series {
				evaluated.series = append(evaluated.series, newSeries(target.LegendFormat, s, to-step))
			}
			results = results[1:]
		}
		panels = append(panels, evaluated)
	}
	return panels, from, to, nil
}

// newSeries parses a series. last is NaN unless the series has a point later than after.
func newSeries(legend string, from framework.PromQLSample, after float64) series {
	s := series{labels: from.Labels, name: legendText(legend, from.Labels), last: math.NaN()}
	for _, p := range from.Points {
		value, err := strconv.ParseFloat(p.Value, 64)
		if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		s.points = append(s.points, svg.Point{X: p.Time, Y: value})
		if p.Time > after {
			s.last = value
		}
	}
	return s
}

var placeholder = regexp.MustCompile(`{{(\w+)}}`)

// legendText replaces the placeholders of a legend with labels.
func legendText(format string, labels map[string]string) string {
	text := placeholder.ReplaceAllStringFunc(format, func(match string) string {
		return labels[placeholder.FindStringSubmatch(match)[1]]
	})
	return strings.Join(strings.Fields(text), " ")
}
