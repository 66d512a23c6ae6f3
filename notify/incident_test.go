package notify

import (
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit"
)

// What an entry about an incident says to people, how urgent it is, and what it does to the case that an outlet keeps open.
func TestIncidentsAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		kind     audit.Kind
		body     string
		severity Severity
		action   Action
	}{
		"a region is down":  {audit.KindIncidentOpened, `{"incident":"INC-1","rule":"region_down","title":"SECRET","region":"aws:eu-central-1"}`, Critical, Trigger},
		"a trunk is lost":   {audit.KindIncidentOpened, `{"incident":"INC-1","rule":"trunk_loss"}`, Critical, Trigger},
		"a call left":       {audit.KindIncidentOpened, `{"incident":"INC-1","rule":"residency_violation"}`, Critical, Trigger},
		"the log has a gap": {audit.KindIncidentOpened, `{"incident":"INC-1","rule":"log_gap"}`, Failing, Trigger},
		"by hand":           {audit.KindIncidentOpened, `{"incident":"INC-1","rule":"by_hand","title":"SECRET","by":"SECRET"}`, Failing, Trigger},
		"it is back":        {audit.KindIncidentUpdated, `{"incident":"INC-1","what":"recurred"}`, Failing, Trigger},
		"it is over":        {audit.KindIncidentUpdated, `{"incident":"INC-1","what":"recovered"}`, Plain, Tell},
		"a limit is near":   {audit.KindIncidentUpdated, `{"incident":"INC-1","what":"clock_warning","clock":"initial","before":"1h0m0s"}`, Failing, Trigger},
		"a limit passed":    {audit.KindIncidentUpdated, `{"incident":"INC-1","what":"clock_late","clock":"initial"}`, Critical, Trigger},
		"a breach is known": {audit.KindIncidentUpdated, `{"incident":"INC-1","what":"breach_known","text":"SECRET"}`, Failing, Trigger},
		"it is major":       {audit.KindIncidentClassified, `{"incident":"INC-1","major":true,"reason":"SECRET","by":"SECRET"}`, Failing, Acknowledge},
		"it is not":         {audit.KindIncidentClassified, `{"incident":"INC-1","major":false}`, Plain, Acknowledge},
		"it was submitted":  {audit.KindIncidentReported, `{"incident":"INC-1","clock":"initial","reference":"SECRET"}`, Plain, Acknowledge},
		"it is documented":  {audit.KindBreachNoted, `{"incident":"INC-1","risk":"high","facts":"SECRET","effects":"SECRET","by":"SECRET"}`, Plain, Acknowledge},
		"it is closed":      {audit.KindIncidentClosed, `{"incident":"INC-1","reason":"SECRET"}`, Plain, Resolve},
	} {
		n, ok := noticeOf(entry(c.kind, c.body))
		if !ok {
			t.Errorf("%s: nobody is told", name)
			continue
		}
		key, action := Lifecycle(n)
		if SeverityOf(n) != c.severity || key != "incident/INC-1" || action != c.action || n.Subject != "INC-1" || strings.Contains(n.Summary, "SECRET") {
			t.Errorf("%s: %s %s %q, %s", name, SeverityOf(n), key, action, n.Summary)
		}
	}
	if n, ok := noticeOf(entry(audit.KindIncidentUpdated, `{"incident":"INC-1","what":"note","text":"SECRET"}`)); ok {
		t.Errorf("the note of a person is told: %+v", n)
	}
}

// A periodic review that is due is open until somebody signs one; who did and what they wrote stays in the log.
func TestReviewsAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		kind     audit.Kind
		body     string
		severity Severity
		action   Action
	}{
		"a review is near": {audit.KindReviewDue, `{"review":"filter","what":"warning","due":"2026-11-20T00:00:00Z","days_before":30}`, Warning, Trigger},
		"a review is late": {audit.KindReviewDue, `{"review":"filter","what":"late"}`, Failing, Trigger},
		"it was reviewed":  {audit.KindReviewSigned, `{"review":"filter","by":"SECRET","reason":"SECRET","role":"ciso"}`, Plain, Resolve},
	} {
		n, ok := noticeOf(entry(c.kind, c.body))
		if key, action := Lifecycle(n); !ok || SeverityOf(n) != c.severity || key != "review/filter" || action != c.action || strings.Contains(n.Summary, "SECRET") {
			t.Errorf("%s: %s %s %q, %s", name, SeverityOf(n), key, action, n.Summary)
		}
	}
}

// A failed drill is looked at, one that could not give back is an outage; what people wrote stays in the log.
func TestDrillsAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		kind     audit.Kind
		body     string
		severity Severity
		key      string
		action   Action
	}{
		"one is asked for":    {audit.KindDrillRequested, `{"drill":"D","scenario":"s","title":"SECRET","reason":"SECRET","tester":"SECRET"}`, Plain, "drill/D", Tell},
		"one is agreed to":    {audit.KindDrillApproved, `{"drill":"D","by":"SECRET","reason":"SECRET"}`, Plain, "drill/D", Tell},
		"one may not start":   {audit.KindDrillRefused, `{"drill":"D","what":"start","why":"SECRET"}`, Warning, "drill/D", Trigger},
		"one was withdrawn":   {audit.KindDrillRefused, `{"drill":"D","what":"withdrawn","why":"SECRET"}`, Plain, "drill/D", Tell},
		"one begins soon":     {audit.KindDrillAnnounced, `{"drill":"D","scenario":"s","title":"SECRET"}`, Plain, "drill/D", Tell},
		"one began":           {audit.KindDrillStarted, `{"drill":"D","scenario":"s","tester":"SECRET"}`, Plain, "drill/D", Tell},
		"one passed":          {audit.KindDrillEnded, `{"drill":"D","scenario":"s","outcome":"passed"}`, Plain, "drill-due/s", Resolve},
		"one failed":          {audit.KindDrillEnded, `{"drill":"D","scenario":"s","outcome":"failed"}`, Warning, "drill-due/s", Resolve},
		"one was stopped":     {audit.KindDrillEnded, `{"drill":"D","scenario":"s","outcome":"aborted","cause":"SECRET","stopped_by":"SECRET"}`, Warning, "drill/D", Trigger},
		"one left something":  {audit.KindDrillEnded, `{"drill":"D","scenario":"s","outcome":"not_restored"}`, Critical, "drill/D", Trigger},
		"it was cleaned up":   {audit.KindDrillCleaned, `{"drill":"D","by":"SECRET","reason":"SECRET"}`, Plain, "drill/D", Resolve},
		"it is accepted":      {audit.KindDrillSignedOff, `{"drill":"D","verdict":"accept","by":"SECRET","reason":"SECRET","role":"SECRET","signature":{"statement":"SECRET"}}`, Plain, "drill/D", Tell},
		"it is rejected":      {audit.KindDrillSignedOff, `{"drill":"D","verdict":"reject","by":"SECRET"}`, Warning, "drill/D", Tell},
		"it is reported":      {audit.KindDrillReported, `{"drill":"D","date":"2026-12-01","minutes_ref":"SECRET","by":"SECRET"}`, Plain, "drill/D", Tell},
		"somebody knows":      {audit.KindDrillAcked, `{"drill":"D","when":"before","by":"SECRET"}`, Plain, "drill/D", Acknowledge},
		"something is wrong":  {audit.KindDrillDeficiency, `{"deficiency":"F","what":"found","title":"SECRET","owner":"SECRET","severity":"high"}`, Warning, "deficiency/F", Trigger},
		"something is badly":  {audit.KindDrillDeficiency, `{"deficiency":"F","what":"found","severity":"critical"}`, Failing, "deficiency/F", Trigger},
		"it is mended":        {audit.KindDrillDeficiency, `{"deficiency":"F","what":"fixed","severity":"critical"}`, Plain, "deficiency/F", Resolve},
		"none may run":        {audit.KindDrillLever, `{"drills_allowed":false,"reason":"SECRET"}`, Warning, "drills", Trigger},
		"they may run again":  {audit.KindDrillLever, `{"drills_allowed":true,"reason":"SECRET"}`, Plain, "drills", Resolve},
		"one is due in a bit": {audit.KindDrillReminder, `{"scenario":"s","what":"warning"}`, Warning, "drill-due/s", Trigger},
		"one is late":         {audit.KindDrillReminder, `{"scenario":"s","what":"late"}`, Failing, "drill-due/s", Trigger},
	} {
		n, ok := noticeOf(entry(c.kind, c.body))
		if key, action := Lifecycle(n); !ok || SeverityOf(n) != c.severity || key != c.key || action != c.action || strings.Contains(n.Summary, "SECRET") {
			t.Errorf("%s: %s %s %q, %s", name, SeverityOf(n), key, action, n.Summary)
		}
	}
	for _, k := range []audit.Kind{audit.KindDrillScenario, audit.KindDrillStep} {
		if _, ok := noticeOf(entry(k, `{}`)); ok {
			t.Errorf("%s is told, and there may be one each second", k)
		}
	}
}
