package job

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

const (
	// maxRefusedPaths bounds the error of a refused update. The answer to an update that
	// replaces a whole pod template stays readable, and of bounded size.
	maxRefusedPaths = 50

	// maxUpdatable bounds the fields that an error names as updatable.
	maxUpdatable = 12

	// refusalOrigin marks the errors of the gate among those of upstream's validation.
	refusalOrigin = "fieldPolicy"

	lastApplied = `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`
)

// forbidden returns an error for each path, at most maxRefusedPaths of them: the last one
// counts the rest. An update is never let through for want of a path to name. updatable are
// the fields that the user may change.
func forbidden(paths []fieldpolicy.Path, updatable []string, user string) field.ErrorList {
	if len(paths) == 0 {
		return field.ErrorList{field.InternalError(nil, fmt.Errorf("the update changes fields that may not be updated, and they could not be named"))}
	}
	rest := 0
	if len(paths) > maxRefusedPaths {
		rest = len(paths) - maxRefusedPaths
		paths = paths[:maxRefusedPaths]
	}
	detail := explain(updatable, user)
	errs := make(field.ErrorList, len(paths))
	for i, path := range paths {
		errs[i] = &field.Error{Type: field.ErrorTypeForbidden, Field: string(path), Detail: detail, Origin: refusalOrigin}
		if path == lastApplied {
			errs[i].Detail += "; kubectl apply writes this annotation: use kubectl patch, or kubectl apply --server-side from the creation of the Job on"
		}
	}
	if rest > 0 {
		errs[len(errs)-1].Detail += fmt.Sprintf("; %d more changed fields are not listed", rest)
	}
	return errs
}

// explain says why a field may not be updated, and where to look.
func explain(updatable []string, user string) string {
	var b strings.Builder
	b.WriteString("may not be updated; ")
	if len(updatable) > 0 {
		more := max(0, len(updatable)-maxUpdatable)
		b.WriteString("updatable fields are " + strings.Join(updatable[:len(updatable)-more], ", "))
		if more > 0 {
			fmt.Fprintf(&b, " and %d more", more)
		}
		b.WriteString("; ")
	}
	fmt.Fprintf(&b, "no JobUpdatePolicy grants it to %q (kubectl get jup)", user)
	return b.String()
}

// refused reports whether the gate has refused the update that errs are about.
func refused(errs field.ErrorList) bool {
	return slices.ContainsFunc(errs, fromGate)
}

// fromGate reports whether an error is one of the gate.
func fromGate(err *field.Error) bool { return err.Origin == refusalOrigin }
