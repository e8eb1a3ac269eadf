// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import (
	"fmt"
	"strconv"
	"strings"
)

// step is one step of a path or a pattern.
type step struct {
	kind stepKind
	// text is the canonical text form: image, [*], ["example.com/a"] or [name="main"].
	text string
}

type stepKind int

const (
	stepField   stepKind = iota // a field of a struct
	stepAny                     // any element of a list or entry of a map
	stepKey                     // an entry of a map or a member of a set
	stepElement                 // the element of a list with these keys
)

type elementKey struct {
	name     string
	value    string // as written, a quoted string or an integer
	isString bool
}

const keyPrefixEnd = `*"]`

// keyPrefix returns the text before the asterisk, and true, if s is a step like ["prefix*"].
func (s step) keyPrefix() (string, bool) {
	if s.kind != stepKey {
		return "", false
	}
	return strings.CutSuffix(s.text, keyPrefixEnd)
}

// matches reports whether the step of a pattern matches the step of a path.
func (s step) matches(other step) bool {
	if s.kind == stepAny {
		return other.kind != stepField
	}
	if prefix, ok := s.keyPrefix(); ok {
		return other.kind == stepKey && strings.HasPrefix(other.text, prefix)
	}
	return s.text == other.text
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

// parse splits the text of a path or a pattern into its steps.
func parse(text string) ([]step, error) {
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

// cutName parses a field name at the start of text and returns the remaining text.
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

// cutBrackets parses a step in brackets at the start of text and returns the remaining text.
func cutBrackets(text string) (step, string, error) {
	if rest, ok := strings.CutPrefix(text, "[*]"); ok {
		return step{kind: stepAny, text: "[*]"}, rest, nil
	}
	if quoted, rest, err := cutQuoted(text[1:]); err == nil {
		rest, ok := strings.CutPrefix(rest, "]")
		if !ok {
			return step{}, "", fmt.Errorf("expected ] after %s", quoted)
		}
		return step{kind: stepKey, text: share("["+quoted+"]", text)}, rest, nil
	}
	keys, rest, err := cutKeys(text)
	if err != nil {
		return step{}, "", err
	}
	pairs := make([]string, len(keys))
	for i, key := range keys {
		pairs[i] = key.name + "=" + key.value
	}
	return step{kind: stepElement, text: share("["+strings.Join(pairs, ",")+"]", text)}, rest, nil
}

// share returns the beginning of text if it equals s, and otherwise s. Policies may have hundreds of
// thousands of patterns, so all steps of a pattern share the memory of its text.
func share(s, text string) string {
	if strings.HasPrefix(text, s) {
		return text[:len(s)]
	}
	return s
}

// keys returns the keys of the step of a pattern. Only a stepElement has some.
func (s step) keys() []elementKey {
	if s.kind != stepElement || s.text == "" {
		return nil
	}
	keys, _, _ := cutKeys(s.text) // cannot fail, since parse has accepted the text
	return keys
}

// cutKeys parses the keys of a list element, in brackets, at the start of text and returns the
// remaining text.
func cutKeys(text string) (keys []elementKey, rest string, err error) {
	for rest := text[1:]; ; {
		name, after, err := cutName(rest)
		if err != nil || !strings.HasPrefix(after, "=") {
			return nil, "", fmt.Errorf(`expected [*], ["key"] or [name="value"] at %q`, text)
		}
		value, after, isString, err := cutValue(after[1:])
		if err != nil {
			return nil, "", err
		}
		keys = append(keys, elementKey{name.text, value, isString})
		switch {
		case strings.HasPrefix(after, ","):
			rest = after[1:]
		case strings.HasPrefix(after, "]"):
			return keys, after[1:], nil
		default:
			return nil, "", fmt.Errorf("expected , or ] after %s=%s", name.text, value)
		}
	}
}

// cutValue parses the value of a key, a quoted string or an integer, at the start of text and
// returns the remaining text.
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

// cutQuoted parses a string in double quotes at the start of text. It returns the string as
// strconv.Quote writes it, and the remaining text.
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
