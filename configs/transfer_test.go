package configs

import (
	"strings"
	"testing"
)

// What a REFER of a party does is one of three words; anything else names its path.
func TestTransferWords(t *testing.T) {
	for word, want := range map[string]string{"local": "", "relay": "", "refuse": "", "always": "trunks[0].transfer"} {
		text := strings.Replace(rich, "trunks:\n", "trunks:\n  - name: moving\n    region: own:a\n    members: [{host: 127.1.0.12}]\n    sources: [127.1.0.0/16]\n    transfer: "+word+"\n", 1)
		c, probs := Examine("rich.yaml", []byte(text))
		path := ""
		for _, p := range probs {
			if strings.Contains(p.Path, ".transfer") {
				path = p.Path
			}
		}
		if path != want {
			t.Errorf("%s: problem at %q, want %q: %v", word, path, want, probs)
		}
		if want == "" && (c == nil || c.Profiles[0].Transfer != word) {
			t.Errorf("%s was not taken", word)
		}
	}
}

// Content types of messages are bare and in lower case.
func TestMessageTypes(t *testing.T) {
	for list, bad := range map[string]bool{"[text/plain, message/cpim]": false, "[text]": true, "[Text/Plain]": true, "[\"text/plain; charset=utf-8\"]": true} {
		text := strings.Replace(rich, "trunks:\n", "trunks:\n  - name: moving\n    region: own:a\n    members: [{host: 127.1.0.12}]\n    sources: [127.1.0.0/16]\n    messages: "+list+"\n", 1)
		c, probs := Examine("rich.yaml", []byte(text))
		found := false
		for _, p := range probs {
			found = found || strings.HasPrefix(p.Path, "trunks[0].messages[")
		}
		if found != bad || !bad && len(c.Profiles[0].Messages) != 2 {
			t.Errorf("%s: %v", list, probs)
		}
	}
}
