// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"

	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
)

// CreateStrategy returns a strategy that limits the errors of s.
func CreateStrategy(s rest.RESTCreateStrategy) rest.RESTCreateStrategy {
	return createStrategy{s, declarativeStrategy(s)}
}

// UpdateStrategy returns a strategy that limits the errors of s.
func UpdateStrategy(s rest.RESTUpdateStrategy) rest.RESTUpdateStrategy {
	return updateStrategy{s, declarativeStrategy(s)}
}

type createStrategy struct {
	rest.RESTCreateStrategy
	declarative
}

type updateStrategy struct {
	rest.RESTUpdateStrategy
	declarative
}

var (
	_ rest.DeclarativeValidationStrategy = createStrategy{}
	_ rest.DeclarativeValidationStrategy = updateStrategy{}
)

// declarative limits errors in ValidateDeclaratively, because it receives the errors of all
// validation that ran before, even if the wrapped strategy has no declarative validation.
type declarative struct {
	strategy rest.DeclarativeValidationStrategy // may be nil
}

func declarativeStrategy(s any) declarative {
	strategy, _ := s.(rest.DeclarativeValidationStrategy)
	return declarative{strategy}
}

// ValidateDeclaratively implements rest.DeclarativeValidationStrategy.
func (d declarative) ValidateDeclaratively(ctx context.Context, obj, old runtime.Object, errs field.ErrorList, op operation.Type, config rest.DeclarativeValidationConfig) field.ErrorList {
	return ValidateDeclaratively(ctx, d.strategy, obj, old, errs, op, config)
}

// DeclarativeValidationConfig implements rest.DeclarativeValidationStrategy.
func (d declarative) DeclarativeValidationConfig(ctx context.Context, obj, old runtime.Object) rest.DeclarativeValidationConfig {
	if d.strategy == nil {
		return rest.DeclarativeValidationConfig{}
	}
	return d.strategy.DeclarativeValidationConfig(ctx, obj, old)
}

// ValidateDeclaratively limits the errors before and after the declarative validation of a
// strategy, which may be nil.
func ValidateDeclaratively(ctx context.Context, s rest.DeclarativeValidationStrategy, obj, old runtime.Object, errs field.ErrorList, op operation.Type, config rest.DeclarativeValidationConfig) field.ErrorList {
	if s == nil {
		return Errors(errs)
	}
	leftOut := max(0, len(errs)-MaxErrors)
	return limit(s.ValidateDeclaratively(ctx, obj, old, errs[:len(errs)-leftOut], op, config), leftOut)
}
