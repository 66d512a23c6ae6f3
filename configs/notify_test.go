package configs

import (
	"strings"
	"testing"
)

func TestAChannelThatTheFenceRefusesIsNamedByCheck(t *testing.T) {
	c, err := Parse("x.yaml", []byte(base+"notify: [{name: x, type: webhook, url: \"https://203.0.113.200:9443/SECRET\", secret: {env: S}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	var found string
	for _, w := range c.Warnings {
		if w.Path == "notify[0].url" {
			found = w.Error()
		}
	}
	if !strings.Contains(found, "nothing will be sent there: deny") || !strings.Contains(found, "declare its place") || strings.Contains(found, "SECRET") {
		t.Errorf("the warning is %q", found)
	}
}
