package configs

import (
	"strings"
	"testing"
)

func TestWhatThisVersionLacksIsNamed(t *testing.T) {
	for key, room := range absent() {
		_, err := Parse("a.yaml", []byte("tenant: {org_id: bank-1}\n"+key+": {any: thing}\n"))
		if err == nil || !strings.Contains(err.Error(), "a.yaml:2: "+key+": needs "+room+", and this version has none") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
