// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package svg

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// texts returns the content of all text elements. It fails the test if the picture is not XML.
func texts(t *testing.T, picture string) []string {
	t.Helper()
	var found []string
	for d := xml.NewDecoder(strings.NewReader(picture)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, picture)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "text" {
			var text string
			if err := d.DecodeElement(&text, &start); err != nil {
				t.Fatal(err)
			}
			found = append(found, text)
		}
	}
}

func TestDocument_Encode(t *testing.T) {
	d := New("a < b", 100)
	d.Text("muted", 1, 2.25, `<"&'>`)
	d.Line("grid", Point{0, 0}, Point{10.04, 20})
	d.Line("grid")
	picture := d.Encode(50)
	if diff := cmp.Diff([]string{`<"&'>`}, texts(t, picture)); diff != "" {
		t.Errorf("texts (-want +got):\n%s", diff)
	}
	for _, want := range []string{`width="100" height="50"`, "<title>a &lt; b</title>", `d="M0 0L10 20"`, `x="1" y="2.2"`} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture does not contain %s:\n%s", want, picture)
		}
	}
	if n := strings.Count(picture, "<path"); n != 1 {
		t.Errorf("%d paths, want one: a line without points is not drawn", n)
	}
}

func TestTerminal(t *testing.T) {
	picture := Terminal("session", 12, []Command{
		{Line: "# a comment"},
		{Line: "echo 12345678", Output: "12345678\n\nabcdefghijkl mno\n  pqrstuvwxyz0\n"},
		{Line: "cat <<END\nx\nEND", Output: "x\n"},
	})
	want := []string{
		"session", "$ ", "# a", "comment", "$ ", "echo", "12345678", "12345678", "abcdefghijkl", "mno", "  pqrstuvwxy", "z0",
		"$ ", "cat <<END", "> ", "x", "> ", "END", "x",
	}
	if diff := cmp.Diff(want, texts(t, picture)); diff != "" {
		t.Errorf("texts (-want +got):\n%s", diff)
	}
}

func TestFit(t *testing.T) {
	for name, tc := range map[string]struct {
		text  string
		width float64
		want  string
	}{
		"fits":      {"abc", 30, "abc"},
		"too long":  {"abc def ghi", 40, "abc d…"},
		"no room":   {"abc", 1, "…"},
		"at a word": {"abc def", 34, "abc…"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Fit(tc.text, 10, tc.width); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestWrap(t *testing.T) {
	got := Wrap("a bc  defghijklm n", 10, 30)
	if diff := cmp.Diff([]string{"a bc", "defghijklm", "n"}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
