// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// store holds series in memory, keyed by their labels. The samples of a series must be added in
// order of time.
type store map[string]*series

var _ storage.Queryable = store{}

type series struct {
	labels   labels.Labels
	chunk    *chunkenc.XORChunk
	appender chunkenc.Appender
}

func (s store) add(l labels.Labels, at time.Time, value float64) error {
	found, ok := s[l.String()]
	if !ok {
		found = &series{labels: l, chunk: chunkenc.NewXORChunk()}
		var err error
		if found.appender, err = found.chunk.Appender(); err != nil {
			return err
		}
		s[l.String()] = found
	}
	found.appender.Append(0, at.UnixMilli(), value)
	return nil
}

// addScrape adds the samples of a response with the labels of its target, and "up" with value 1.
func (s store) addScrape(sc scrape) error {
	target := labels.FromMap(sc.Labels)
	named := func(of labels.Labels) labels.Labels {
		b := labels.NewBuilder(of)
		target.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
		return b.Labels()
	}
	if err := s.add(named(labels.FromStrings(model.MetricNameLabel, "up")), sc.at(), 1); err != nil {
		return err
	}
	p := textparse.NewPromParser([]byte(sc.Text), labels.NewSymbolTable(), false)
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the response of %s: %w", target, err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var l labels.Labels
		p.Labels(&l)
		_, _, value := p.Series()
		if err := s.add(named(l), sc.at(), value); err != nil {
			return err
		}
	}
}

func (s store) Querier(_, _ int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: s.find}, nil
}

// find returns all matching series, sorted by their labels.
func (s store) find(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found seriesSet
	for _, one := range s {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.labels.Get(m.Name)) }) {
			found.all = append(found.all, &storage.SeriesEntry{
				Lset:             one.labels,
				SampleIteratorFn: func(it chunkenc.Iterator) chunkenc.Iterator { return one.chunk.Iterator(it) },
			})
		}
	}
	slices.SortFunc(found.all, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &found
}

// seriesSet iterates over series that have no errors or warnings.
type seriesSet struct {
	all  []storage.Series
	next int
}

func (s *seriesSet) Next() bool                        { s.next++; return s.next <= len(s.all) }
func (s *seriesSet) At() storage.Series                { return s.all[s.next-1] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
