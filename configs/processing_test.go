package configs

import (
	"strings"
	"testing"
)

// What the record of processing activities says beside the log, and the measures that a configuration shows.
func TestProcessingIsRead(t *testing.T) {
	one := readExample(t)
	text := func(more string) []byte { return append(one.with("", ""), "\n"+more+"\n"...) }
	c, err := Parse(one.name, text(`processing: {role: processor, contact: a, dpo_contact: b, controllers: [{name: Bank AG}], purposes: [banking], measures: [guards]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Declared()
	if !d.Processor || d.Entity.Contact != "a" || d.DPO != "b" || d.Controllers[0].Name != "Bank AG" || d.Purposes[0] != "banking" || len(d.Subjects) != 2 || len(d.Terms) != 1 ||
		d.Measures[len(d.Measures)-1] != "guards" {
		t.Errorf("%+v", d)
	}
	for word, want := range map[string]string{
		"{role: both}":                                   "controller or processor",
		"{controllers: [{name: A}]}":                     "acts on nobody",
		"{role: processor, controllers: [{lei: X}]}":     "is missing",
		"{purposes: [" + strings.Repeat("x", 501) + "]}": "too long",
	} {
		if _, err := Parse(one.name, text("processing: "+word)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v; want %q", word, err, want)
		}
	}
}
