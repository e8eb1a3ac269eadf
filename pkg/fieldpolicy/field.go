package fieldpolicy

import (
	"fmt"
	"strconv"
	"strings"
)

// Field is the path of fields that a policy grants. It is a [Path], with all below it, in
// which [*] stands for any element of a list and any key of a map, and ["prefix*"] for any
// key with the prefix. The Field * stands for everything.
type Field struct {
	steps []step // none for *
}

// ParseField parses a Field of batch/v1 Jobs. The error for one that Jobs do not have, or
// that is not written as a path is, names the nearest one that they do.
func ParseField(text string) (Field, error) {
	if text == "*" {
		return Field{}, nil
	}
	steps, err := split(text)
	if err != nil {
		return Field{}, fmt.Errorf("%w; the nearest field is %s", err, nearest(Path(text)))
	}
	if err := checkSteps(steps); err != nil {
		return Field{}, err
	}
	return Field{steps}, nil
}

// String returns the canonical form, which parses to an equal Field.
func (f Field) String() string {
	if len(f.steps) == 0 {
		return "*"
	}
	return join(f.steps)
}

// covers reports whether a path is the Field or lies below it.
func (f Field) covers(path []step) bool {
	if len(path) < len(f.steps) {
		return false
	}
	for i, s := range f.steps {
		if !s.matches(path[i]) {
			return false
		}
	}
	return true
}

// step is one step of a path or Field.
type step struct {
	kind stepKind
	// text is the step as it is written: image, [*], ["example.com/a"], [name="main"].
	text string
	// keys are the keys of a list element and the Go kinds of their values.
	keys []elementKey
}

type stepKind int

const (
	stepField   stepKind = iota // into a field of a struct
	stepAny                     // to any element of a list, or key of a map
	stepKey                     // to a key of a map, or a member of a set
	stepElement                 // to the element of a list with the keys
)

type elementKey struct {
	name     string
	isString bool // else a number
}

// matches reports whether the step of a Field stands for the step of a path.
func (s step) matches(other step) bool {
	switch {
	case s.kind == stepAny:
		return other.kind != stepField
	case s.kind == stepKey && strings.HasSuffix(s.text, `*"]`):
		return other.kind == stepKey && strings.HasPrefix(other.text, strings.TrimSuffix(s.text, `*"]`))
	default:
		return s.text == other.text
	}
}

func join(steps []step) string {
	var b strings.Builder
	for i, s := range steps {
		if i > 0 && s.kind == stepField {
			b.WriteByte('.')
		}
		b.WriteString(s.text)
	}
	return b.String()
}

// split splits a path into its steps, each in its canonical form.
func split(text string) ([]step, error) {
	var steps []step
	for rest := text; rest != ""; {
		var s step
		var err error
		if rest[0] == '[' && len(steps) > 0 {
			s, rest, err = cutBrackets(rest)
		} else {
			if len(steps) > 0 {
				if rest[0] != '.' {
					return nil, fmt.Errorf("expected a dot or a bracket before %q", rest)
				}
				rest = rest[1:]
			}
			s, rest, err = cutName(rest)
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("a path must not be empty")
	}
	return steps, nil
}

// cutName cuts the name of a field off the front.
func cutName(text string) (step, string, error) {
	end := strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if end < 0 {
		end = len(text)
	}
	if end == 0 {
		return step{}, "", fmt.Errorf("expected the name of a field before %q", text)
	}
	return step{kind: stepField, text: text[:end]}, text[end:], nil
}

// cutBrackets cuts a step in brackets off the front.
func cutBrackets(text string) (step, string, error) {
	if rest, ok := strings.CutPrefix(text, "[*]"); ok {
		return step{kind: stepAny, text: "[*]"}, rest, nil
	}
	if quoted, rest, err := cutQuoted(text[1:]); err == nil {
		rest, ok := strings.CutPrefix(rest, "]")
		if !ok {
			return step{}, "", fmt.Errorf("expected ] after %s", quoted)
		}
		return step{kind: stepKey, text: "[" + quoted + "]"}, rest, nil
	}
	s := step{kind: stepElement}
	var pairs []string
	for rest := text[1:]; ; {
		name, after, err := cutName(rest)
		if err != nil || !strings.HasPrefix(after, "=") {
			return step{}, "", fmt.Errorf(`expected [*], ["key"] or [name="value"] at %q`, text)
		}
		value, after, isString, err := cutValue(after[1:])
		if err != nil {
			return step{}, "", err
		}
		s.keys = append(s.keys, elementKey{name.text, isString})
		pairs = append(pairs, name.text+"="+value)
		switch {
		case strings.HasPrefix(after, ","):
			rest = after[1:]
		case strings.HasPrefix(after, "]"):
			s.text = "[" + strings.Join(pairs, ",") + "]"
			return s, after[1:], nil
		default:
			return step{}, "", fmt.Errorf("expected , or ] after %s", pairs[len(pairs)-1])
		}
	}
}

// cutValue cuts the value of a key off the front: a quoted string, or a number.
func cutValue(text string) (value, rest string, isString bool, err error) {
	if quoted, rest, err := cutQuoted(text); err == nil {
		return quoted, rest, true, nil
	}
	end := strings.IndexAny(text, ",]")
	if end < 0 {
		return "", "", false, fmt.Errorf("expected ] after %s", text)
	}
	number, err := strconv.ParseInt(text[:end], 10, 64)
	if err != nil {
		return "", "", false, fmt.Errorf("expected a quoted string or a number instead of %s", text[:end])
	}
	return strconv.FormatInt(number, 10), text[end:], false, nil
}

// cutQuoted cuts a string in double quotes off the front, and returns it as Path writes it.
func cutQuoted(text string) (quoted, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", strconv.ErrSyntax
	}
	prefix, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", err
	}
	value, err := strconv.Unquote(prefix)
	return strconv.Quote(value), text[len(prefix):], err
}
