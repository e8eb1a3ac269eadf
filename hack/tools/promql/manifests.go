// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"sigs.k8s.io/yaml"
)

// parseManifests returns the alerts of all PrometheusRules in the YAML documents. It fails if a
// PrometheusRule or ServiceMonitor is not valid.
func parseManifests(documents []byte) ([]rulefmt.Rule, error) {
	var alerts []rulefmt.Rule
	var errs []error
	for document := range bytes.SplitSeq(documents, []byte("\n---\n")) {
		var object struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		if err := yaml.Unmarshal(document, &object); err != nil {
			return nil, err
		}
		var err error
		switch object.Kind {
		case monitoringv1.ServiceMonitorsKind:
			err = yaml.UnmarshalStrict(document, &monitoringv1.ServiceMonitor{})
		case monitoringv1.PrometheusRuleKind:
			var found []rulefmt.Rule
			found, err = parseRules(document)
			alerts = append(alerts, found...)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", object.Kind, object.Metadata.Name, err))
		}
	}
	return alerts, errors.Join(errs...)
}

// parseRules returns the rules of a PrometheusRule, which must all be alerts.
func parseRules(document []byte) ([]rulefmt.Rule, error) {
	var rule monitoringv1.PrometheusRule
	if err := yaml.UnmarshalStrict(document, &rule); err != nil {
		return nil, err
	}
	// The operator writes the spec to the file that Prometheus reads.
	file, err := yaml.Marshal(rule.Spec)
	if err != nil {
		return nil, err
	}
	groups, errs := rulefmt.Parse(file, false, model.LegacyValidation, promqlParser, slog.Default())
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	var rules []rulefmt.Rule
	for _, group := range groups.Groups {
		for _, r := range group.Rules {
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				errs = append(errs, fmt.Errorf("rule %s%s: must be an alert with a severity, a summary and a description", r.Alert, r.Record))
			}
			rules = append(rules, r)
		}
	}
	return rules, errors.Join(errs...)
}
