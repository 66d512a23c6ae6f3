package notify

import (
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit"
)

// What is so in the view of a canary drill alone is told as what it is: it alarms nobody, and neither opens nor ends what production's has open.
func TestADrillIsToldAsOne(t *testing.T) {
	const mark = `,"drill":"d1"}`
	for kind, body := range map[audit.Kind]string{
		audit.KindHealthChanged:   `{"target":"fra/a","to":"down"`,
		audit.KindFailoverApplied: `{"route":"in","to":"zrh"`,
		audit.KindFailoverHeld:    `{"route":"in","to":"iad"`,
		audit.KindFailoverRefused: `{"route":"in","to":"iad"`,
		audit.KindFailback:        `{"route":"in","to":"fra"`,
	} {
		real, _ := noticeOf(entry(kind, body+"}"))
		n, ok := noticeOf(entry(kind, body+mark))
		key, action := Lifecycle(n)
		realKey, realAction := Lifecycle(real)
		switch {
		case !ok || !strings.Contains(n.Summary, `drill="d1"`) || SeverityOf(n) != Plain || action != Tell || key == realKey:
			t.Errorf("%s: %v %s %s %s %s", kind, ok, SeverityOf(n), action, key, n.Summary)
		case realAction == Tell:
			t.Errorf("%s of production opens and ends nothing any more", kind)
		case realAction == Trigger && groupKey(n) == groupKey(real):
			t.Errorf("%s: a drill and production are told of together", kind)
		case !strings.Contains(impact(n), "drill"):
			t.Errorf("%s: %s", kind, impact(n))
		}
	}
	asked := `{"party":"iad","plane":"signalling","ground":"no_adequacy","count":1`
	real, _ := noticeOf(entry(audit.KindFenceRefused, asked+"}"))
	if n, ok := noticeOf(entry(audit.KindFenceRefused, asked+mark)); !ok || SeverityOf(n) != Plain || SeverityOf(real) != Failing {
		t.Errorf("a refusal that a drill asked for is %s, one of production %s", SeverityOf(n), SeverityOf(real))
	}
	if (Notice{Kind: "drill.ended", Data: map[string]any{"drill": "d1"}}).drilled() {
		t.Error("what is about the drill itself is taken for its view")
	}
}
