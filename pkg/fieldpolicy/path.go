package fieldpolicy

import (
	"fmt"
	"strconv"
	"strings"
)

// Path names a field of a Job by its API (JSON) names, for example
// spec.template.spec.containers[name="main"].image.
//
// Fields are joined by dots. Elements of keyed lists are named by their key, or their
// keys joined by commas (ports[containerPort=80,protocol="TCP"]), and keys of maps and
// members of sets are quoted (metadata.annotations["example.com/a"]).
type Path string

// field returns the path of a struct's field below p.
func (p Path) field(name string) Path {
	if p == "" {
		return Path(name)
	}
	return p + "." + Path(name)
}

// key returns the path of a map's key or a set's member below p.
func (p Path) key(key string) Path {
	return p + Path("["+strconv.Quote(key)+"]")
}

// element returns the path of a keyed list's element below p.
func (p Path) element(names []string, values []any) Path {
	pairs := make([]string, len(names))
	for i, name := range names {
		if s, ok := values[i].(string); ok {
			pairs[i] = name + "=" + strconv.Quote(s)
			continue
		}
		pairs[i] = fmt.Sprintf("%s=%v", name, values[i])
	}
	return p + Path("["+strings.Join(pairs, ",")+"]")
}

// within reports whether p is one of the fields or lies below one of them.
func (p Path) within(fields []string) bool {
	for _, f := range fields {
		rest, ok := strings.CutPrefix(string(p), f)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// Name returns the field of the Job, or of its Pod template, that the path is in:
// spec.backoffLimit, metadata.annotations or spec.template.spec.containers. It has no keys,
// and there are about a hundred of them.
func (p Path) Name() string {
	steps, err := split(string(p))
	if err != nil {
		return ""
	}
	depth := 2
	if len(steps) > 1 && steps[0].text == "spec" && steps[1].text == "template" {
		depth = 4
	}
	end := 0
	for end < min(depth, len(steps)) && steps[end].kind == stepField {
		end++
	}
	return join(steps[:end])
}
