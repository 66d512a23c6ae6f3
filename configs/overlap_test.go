package configs

import (
	"strings"
	"testing"
)

// Attempts of a route overlap where it says so, and nowhere else.
func TestOverlapOfARoute(t *testing.T) {
	with := func(word string) []byte {
		return []byte(strings.Replace(base, "direction: inbound, ", "direction: inbound, "+word, 1))
	}
	for word, want := range map[string]bool{"": false, "overlap: true, ": true, "overlap: false, ": false} {
		c, err := Parse("base.yaml", with(word))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Rules.Routes[0].Overlap; got != want {
			t.Errorf("%q: %v", word, got)
		}
	}
	if _, err := Parse("base.yaml", with("overlap: often, ")); err == nil || !strings.Contains(err.Error(), "often") {
		t.Errorf("a word for a yes or no was taken: %v", err)
	}
}
