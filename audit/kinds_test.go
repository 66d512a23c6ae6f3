package audit

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit/retain"
)

var update = flag.Bool("update", false, "write the golden files anew")

func exampleFound() Found { return Found{Entries: []uint64{7, 9}, Last: 9, Count: 2, Of: 2} }

// examples is one event of every kind with every field set, so that a field that is renamed or dropped shows.
func examples() []Event {
	at := time.Date(2026, 11, 20, 8, 0, 0, 123456789, time.UTC)
	call := "20261120-00112233445566778899aabbccddeeff"
	f := Failover{
		Trunk: "carrier-de", Route: "inbound", From: "fra", To: "zrh", Region: "aws:eu-central-2", Country: "CH", Verdict: "permit",
		Ground: "adequate", Why: "fra is down", Ticket: "t1", Health: []string{"fra-1 up to down: silent"}, Drill: "d1",
	}
	as := func(k Kind) Failover { g := f; g.What = k; return g }
	move := Move{T: at, Plane: "media", From: "192.0.2.1:4000", To: "192.0.2.2:4000", Cause: "reinvite", Allowed: true, Ground: "in_eea"}
	return append(drillExamples(at), []Event{
		NodeStarted{Addrs: []string{"udp:127.0.0.1:5060"}, Crash: true, Name: "Example Bank AG", LEI: "5493001KJTIIGC8Y1R12"},
		NodeStopped{Reason: "SIGTERM", Calls: 2},
		NodeResumed{Calls: 3, Ended: 1, Records: 2, Unread: 4, Damage: 5},
		PolicyApplied{Cause: "reload", PolicyDigest: "sha256:p", FactsDigest: "sha256:f", Generation: 3, By: "p-a", Allow: []string{"aws:eu-central-1"}, Preset: "eea_plus_adequacy", Charter: "00ff", Accepted: 9},
		PolicyAccepted{Charter: "00ff", Before: "11ff", Cause: "signed", Why: "approved by people", By: "p-a", Ticket: "t1", Widenings: []string{"policy.allow: aws:eu-west-1 is allowed"}, Pieces: []uint64{7, 8}},
		PolicyCharter{Charter: "00ff", Piece: 1, Of: 2, Text: `{"people":[`},
		WideningHeld{Cause: "reload", By: "p-a", Charter: "00ff", Proposed: "22ff", Widenings: []string{"policy.allow: aws:eu-west-1 is allowed"}},
		ReloadRefused{By: "p-a", Errors: []string{"line 3: unknown key"}},
		LawSuspended{Instrument: "(EU) 2023/1795", Since: at, Reason: "annulled", KeyID: "k1"},
		SuspensionRefused{Errors: []string{"line 2: no key k9 is configured"}},
		HealthChanged{Target: "fra-1", Party: "fra", From: "up", To: "down", Why: "3 probes silent", Drill: "d1"},
		AnswersMoved{Party: "fra", Host: "sip.example", Before: []string{"203.0.113.7 DE permit"}, After: []string{"203.0.113.8 US deny"}},
		PlaceContradicted{
			Party: "fra", Addr: "192.0.2.1", Region: "aws:eu-central-1", Countries: []string{"DE"}, Standing: "contradicted", Effect: "held", Plane: "media", Why: "w",
			Evidence: []Evidence{{Kind: "provider_feed", Value: "v", SourceDigest: "d", ObservedAt: at, Result: "contradicts"}},
		},
		PlaceCleared{Party: "fra", Addr: "192.0.2.1", Region: "aws:eu-central-1", Countries: []string{"DE"}, Why: "w"},
		InventoryJudged{
			Entry: "crm", Purpose: "crm", Endpoint: "crm.example:443", Verdict: "hold", Before: "permit", Ground: "not_where_declared", Why: "w", Region: "aws:eu-central-1", Countries: []string{"DE"}, Contract: "c", Parent: "US", Support: []string{"IN"},
			Answers: []InventoryAnswer{{Addr: "192.0.2.1:443", Region: "aws:eu-west-1", Countries: []string{"IE"}, Verdict: "hold", Ground: "not_where_declared", Legal: "in_eea", Instrument: "i", Standing: "declared", SPKI: "s"}},
			Failure: "no such name",
		},
		PlaceDrifted{What: "prefix", Party: "fra", Subject: "sip.bank.example", Before: []string{"a"}, After: []string{"b"}},
		PlaceEvidenceStale{Evidence: "geofeed_signed", File: "feed.csv", Digest: "d", What: "expired", Since: at, Why: "w"},
		as(KindFailoverApplied), as(KindFailoverHeld), as(KindFailoverRefused), as(KindFailback),
		LawInForce{Instrument: "2000/518/EC", Since: at, From: at.Add(time.Second), Parties: []RunningCalls{{Party: "zrh", Route: "in", Rule: "finish", Until: at.Add(time.Hour), Calls: 3}}},
		LawEnding{Instrument: "(EU) 2021/1772", Country: "GB", Until: at.Add(90 * 24 * time.Hour), Threshold: 90, Days: 89, Parties: []string{"lon"}},
		Severed{What: "group", Name: "fra", Force: true, Back: true, Reason: "attack", By: "p-a", From: at, Parties: []RunningCalls{{Party: "fra", Route: "in", Rule: "end", Until: at.Add(time.Second), Calls: 2}}},
		ServiceChanged{What: "group", Name: "fra", From: "in_service", To: "out", Reason: "change 4711", By: "p-a", Until: at},
		RouteSwitched{Route: "inbound", From: "fra", To: "zrh", Back: true, Region: "aws:eu-central-2", Country: "CH", Verdict: "permit", Ground: "adequate", Reason: "change 4711", By: "p-a"},
		RouteMigrated{Route: "inbound", To: "zrh", Back: true, Share: 0.1, Ranges: []string{"+4969*"}, Region: "aws:eu-central-2", Country: "CH", Verdict: "permit", Ground: "adequate", Reason: "wave 1", By: "p-a"},
		ApprovalNotified{Ticket: "t1", Channel: "console", Failure: "timeout"},
		NoticeUndelivered{Channel: "pager", About: KindHealthChanged, Entry: 7, Last: 506, Count: 500, Fenced: true, Failure: "attempt 1: refused"},
		NoticeResent{Channel: "pager", Entry: 7, By: "p-a", Failure: "attempt 1: 503"},
		Raw{KindGateChanged, json.RawMessage(`{"ticket":"t1","state":"decided_approved"}`)},
		IngressRefused{Trunk: "carrier-de", Source: "192.0.2.9:5060", Ground: "no_adequacy", Why: "source in US", Count: 4},
		FenceRefused{Party: "iad", Plane: "media", Addr: "192.0.2.9:4000", Ground: "deny", Count: 5, Drill: "d1"},
		MediaMoved{CallRef: call, Move: move},
		MediaRestarted{At: at, GapMS: 8.5, Legs: 400, From: "cordon 1.0"},
		MediaUnkeyed{CallRef: call, T: at, Leg: "a", Party: "fra", Reason: "fingerprint", Bare: true, Ends: true},
		MediaSilent{CallRef: call, T: at, Leg: "b", Party: "fra", State: "dead", Was: "silent", ForMS: 30000, Held: true, Ends: true, Drill: "blackhole", Member: "a"},
		CallEnded{CallRef: call, Trunk: "carrier-de", Group: "fra", Route: "inbound", SIPFinal: 200, EndedBy: "a", Cause: "normal", Q850: 16, Session: "a;remote=b", Attempts: 2, SetupMS: 12.5, TalkMS: 60000, Quality: exampleQuality(), Announced: exampleAnnounced()},
		CallTransferred{CallRef: call, Transfer: exampleTransfer(at)},
		exampleMessage(at, call),
		Forgotten{What: "call", Ref: call, By: "p-a", Why: "erasure request 17"},
		CertExpiring{
			Fingerprint: "00ff", Role: "own", Uses: []string{"listeners[0]"}, Subject: "CN=sbc", Issuer: "CN=ca", Names: []string{"sbc.example"}, NotAfter: at, Threshold: 14, Left: 10,
		},
		CertReplaced{Use: "listeners[0]", Cause: "file", Before: "00ff", After: "11ff", NotAfter: at},
		CertRefused{Use: "listeners[0]", Why: "the key is not that of the certificate"},
		exampleReceipt(at, call, move),
		IncidentOpened{
			Incident: "INC-20261120-edge-1", Rule: "region_down", Cause: "region aws:eu-central-1", Title: "All targets in aws:eu-central-1 are down", Since: at, Until: at,
			Region: "aws:eu-central-1", Country: "DE", Parties: []string{"fra"}, Found: exampleFound(), By: "p-a",
		},
		IncidentUpdated{
			Incident: "INC-20261120-edge-1", What: "clock_warning", At: at, Until: at, Found: exampleFound(), Clock: "initial", Due: at, Before: "1h0m0s", Text: "the carrier knows", By: "p-a",
		},
		IncidentClassified{Incident: "INC-20261120-edge-1", Major: true, At: at, Criteria: []string{"geographical_spread"}, Reason: "two Member States", By: "p-a"},
		IncidentReported{Incident: "INC-20261120-edge-1", Clock: "initial", At: at, Reference: "BaFin 4711", Digest: "00ff", By: "p-a"},
		BreachNoted{
			Incident: "INC-20261120-edge-1", Facts: "calls were heard elsewhere", Subjects: 40, Records: 80, Categories: []string{"customers", "voice"}, Effects: "secrets are known", Remedy: "the key was changed",
			Risk: "high", RiskReason: "bank data", Delay: "the carrier told late", Told: at, By: "p-a",
		},
		IncidentClosed{Incident: "INC-20261120-edge-1", Reason: "the region is back", By: "p-a"},
		QuorumMissing{Entries: 40, Wanted: 2, Signed: 1, Since: at, Failures: []string{"witness.example/1: it answered 503"}},
		QuorumBack{Entries: 60, Wanted: 2, Signed: 3, Since: at},
		CopyBehind{Entries: 60, Copied: 40, Since: at, Why: "s3: list: the server answered 503"},
		CopyLevel{Copied: 60, Since: at},
		CopyDiffers{Object: "tile/0/000", Expected: "SHA-256 00", Found: "SHA-256 11"},
		CopyRefused{What: "all", Why: "the bucket was made without object lock"},
		Restored{
			Mode: "new_log", Origin: "cordon/bank-1/edge-1", Key: "cordon/bank-1/edge-1+00+AA", Entries: 60, Root: "AA", Checkpoint: "c", Last: at, Orderly: true, Missing: 3,
			Seen: []string{"witness.example/1 63"}, Keys: true, Forgotten: 2,
		},
		Gap{From: at, To: at.Add(time.Second), Cause: CauseCrash, Lost: 1, Calls: []string{call}},
		ClockQuality{Cause: "stepped", Known: true, Synchronised: true, Source: "kernel (NTP disciplined)", Reference: "PTB", OffsetMS: number(0.25), EstErrorMS: number(1.5), MaxErrorMS: number(20), StepMS: -750},
		ClockAlarm{What: "stepped_back", Since: at, Reference: "PTB", StepMS: -750},
		HoldPlaced{retain.Hold{ID: "h-1", From: at.UTC(), To: at.UTC(), Trunk: "carrier-de", Ref: call, Reason: "proceedings", By: "p-a", At: at.UTC()}},
		HoldLifted{ID: "h-1", Reason: "over", By: "p-b"},
		Shredded{Days: []string{"20201120"}, Classes: []string{"all 5y: GDPR Art. 5(1)(e)"}, Calls: 12, Kept: 3, By: "p-a"},
		ReviewText{Digest: "00ff", What: "document", Piece: 1, Of: 2, Text: `{"cordon":`},
		ReviewSigned{
			Review: "access", Document: "00ff", DocumentPart: []uint64{7}, Findings: "11ff", FindingsPart: []uint64{8}, Charter: "22ff", Accepted: 3, Made: at, Items: 9, Keep: 6, Remove: 2, Change: 1,
			People: []string{"p-b"}, By: "p-a", Role: "auditor", Reason: "looked at", Auth: "signature", Signature: json.RawMessage(`{"signature":"AA=="}`), HandedIn: "p-c",
		},
		ReviewDue{Review: "filter", What: "warning", Due: at, Days: 30},
		KeyRotated{Handover: "cordon/log-key@v1\n", Old: "cordon/bank-1/edge-1+00000001", New: "cordon/bank-1/edge-1+00000002", By: "p-a", Reason: "yearly", Overlap: at, Compromised: at},
	}...)
}

func drillExamples(at time.Time) []Event {
	plan := DrillPlan{
		Drill: "01DRILL", Scenario: "region-loss", Version: 2, Digest: "00ff", Title: "The region is gone", Class: "primary_region_loss", Authors: []string{"p-c"}, Mode: "canary_percent", Route: "inbound",
		Share: 5, Cap: 20, Cast: map[string]string{"primary": "fra"}, Function: &DrillFunction{ID: "F1", Name: "contact centre", Critical: true, RTO: 1, RPO: 0.5},
	}
	guards := []DrillGuard{{Name: "window", Holds: true, Why: "night is open until 04:00"}}
	word := DrillApproved{Drill: "01DRILL", Digest: "00ff", By: "p-b", Reason: "change 4711"}
	return []Event{
		DrillScenario{Digest: "00ff", Piece: 1, Of: 2, Text: "drill: region-loss"},
		DrillRequested{DrillPlan: plan, Tester: "p-a", Reason: "yearly", Wanted: 1, Begins: at, Expires: at.Add(time.Hour), Guards: guards},
		word,
		DrillRefused{Drill: "01DRILL", Scenario: "region-loss", What: "start", Why: "w", Guards: guards, By: "p-a"},
		DrillAnnounced{Drill: "01DRILL", Scenario: "region-loss", Title: "The region is gone", Mode: "canary_percent", Route: "inbound", Begins: at, Ends: at.Add(time.Hour), Channels: []string{"duty"}},
		DrillStarted{
			DrillPlan: plan, Tester: "p-a", Unit: "resilience", Approvals: []DrillApproved{word}, Window: &DrillWindow{Name: "night", From: at, Until: at.Add(time.Hour), Volume: "3 calls of 100"}, Announced: at, Ends: at.Add(time.Hour),
			Bounds: DrillBounds{Throttle: 2.5, Canary: 5, Aborts: []string{"failures 5%"}}, Guards: guards, Parties: []DrillParty{{Party: "fra", Name: "Example AG", LEI: "529900EXAMPLEBANK046", Role: "contact_centre"}}, Before: map[string]string{"inbound": "fra"},
		},
		DrillStep{Drill: "01DRILL", At: at, Word: "taken", What: "region fra: blackhole"},
		DrillEnded{
			Drill: "01DRILL", Scenario: "region-loss", Version: 2, Digest: "00ff", Mode: "canary_percent", Outcome: "aborted", Cause: "stopped by people", Crash: true, Start: at, End: at.Add(time.Minute), Restored: at.Add(time.Minute),
			Judgements: json.RawMessage(`[{"index":0,"word":"answered","holds":true}]`), Timeline: json.RawMessage(`{}`), Measured: json.RawMessage(`{"detect_ms":900}`), Records: DrillRecords{Acknowledged: 4, Found: 4, Verified: true},
			Refused: []uint64{8}, Datagrams: map[string]uint64{"fra": 7}, First: 5, Last: 9, Log: "cordon/bank-1/edge-1-sandbox", Checkpoint: "cordon/bank-1/edge-1-sandbox\n10\n", Stopped: "p-a",
		},
		DrillCleaned{Drill: "01DRILL", Removed: []string{"the sandbox"}, Checks: guards, By: "p-a", Reason: "looked at", Role: "ciso", Auth: "bearer+signature", Signature: json.RawMessage(`{"statement":{},"signature":"AA=="}`)},
		DrillSignedOff{Drill: "01DRILL", Verdict: "accept_with_deficiencies", By: "p-c", Reason: "30 s are too long", Role: "ciso", Auth: "bearer+signature", Signature: json.RawMessage(`{"statement":{},"signature":"AA=="}`)},
		DrillReported{Drill: "01DRILL", Date: "2026-12-01", Minutes: "MB-2026-12/4", By: "p-c", Reason: "quarterly", Role: "ciso", Auth: "bearer+signature", Signature: json.RawMessage(`{"statement":{},"signature":"AA=="}`)},
		DrillAcked{Drill: "01DRILL", When: "before", By: "p-d"},
		DrillDeficiency{Drill: "01DRILL", ID: "D1", What: "fixed", Title: "slow", Severity: "high", Owner: "p-a", Due: at, Fixed: at, RetestBy: at, Retest: "01OTHER", By: "p-b"},
		DrillLever{Allowed: true, Reason: "r", By: "p-a"},
		DrillReminder{Scenario: "region-loss", Mode: "production_window", What: "warning", Due: at, Days: 30, Last: at},
	}
}

func number(f float64) *float64 { return &f }

func exampleQuality() []LegQuality {
	return []LegQuality{{
		Leg: "a", Packets: 3000, Lost: -1, JitterMS: 1.5, MOS: 4.3, MOSMin: 3.2, MOSMean: 4.2, Windows: 12, Poor: 1, LossPct: 0.5, FarLossPct: 0.25, FarMOS: 4.1, JitterMaxMS: 12.5, RTTMS: 40, SilenceS: 7.5,
		FaxPackets: 900, FaxBytes: 40000, FaxSent: 20, DigitsIn: 4, DigitsOut: 6,
		Liveness: "silent",
	}}
}

func exampleTransfer(at time.Time) Transfer {
	return Transfer{
		T: at, By: "b", Party: "fra", How: "refer", From: "carrier-de", Route: "inbound", GateDecision: "t1", Result: "answered", SIPFinal: 200, TookMS: 2500,
		Attempts:     []Attempt{{Party: "zrh", Target: "zrh-1", Region: "aws:eu-central-2", Country: "CH", Verdict: "permit", Ground: "adequate", At: at, TookMS: 1000, Result: "200", Fallback: "codecs", Drill: "400ms later"}},
		PolicyDigest: "sha256:p", Generation: 3,
	}
}

func exampleMessage(at time.Time, call string) MessageRelayed {
	h := exampleHop(at)
	return MessageRelayed{
		MessageRef: call, Direction: "outbound", PartyA: PartyRef{Ref: "aa", Country: "+49"}, PartyB: PartyRef{Ref: "bb", Country: "+41"}, From: "fra", To: "carrier-de", Route: "sms",
		Bytes: 120, ContentType: "text/plain", Attempts: exampleTransfer(at).Attempts, Hop: &h, GateDecision: "t1", SIPFinal: 200, Overall: "compliant_by_gate",
		PolicyDigest: "sha256:p", Generation: 3,
	}
}

func exampleHop(at time.Time) ReceiptHop {
	return ReceiptHop{
		Plane: "media", Leg: "b", Role: "terminates_plaintext", RemoteAddr: "192.0.2.2:4000", RemoteName: "zrh-1.example",
		DeclaredRegion: "aws:eu-central-2", DeclaredCountry: "CH", Operator: &Operator{Name: "Example AG", LEI: "529900EXAMPLEBANK046", HQ: "US"}, Evidence: []Evidence{{Kind: "declared", Value: "c-7", SourceDigest: "d", ObservedAt: at, Result: "supports"}}, Contract: "c-7", Verdict: "adequate",
		Ground: "adequate", Instrument: "2000/518/EC", Proof: "declared", RTTMinMS: 6.5, MaxDistanceKM: 650,
		TLS:   &TLSSeen{Version: "1.3", Suite: "TLS_AES_128_GCM_SHA256", PeerSPKI: "00ff"},
		SRTP:  &SRTPSeen{Suite: "AEAD_AES_128_GCM", Keying: "SDES", Cleartext: true},
		Until: at.Add(30 * time.Second),
	}
}

func exampleReceipt(at time.Time, call string, move Move) Receipt {
	return Receipt{
		CallRef: call, Session: "a;remote=b", Direction: "inbound", Purpose: "production", TInvite: at, TAnswer: at.Add(time.Second), TEnd: at.Add(time.Minute),
		PartyA: PartyRef{Ref: "aa", Country: "+49"}, PartyB: PartyRef{Ref: "bb", Country: "+41"}, Trunk: "carrier-de", EdgeGroup: "zrh",
		RouteReason: "gated_failover", GateDecision: "t1", Incident: "i1", Drill: "d1",
		Hops:      []ReceiptHop{exampleHop(at)},
		Attempts:  []Attempt{{Party: "fra", Target: "fra-1", Region: "aws:eu-central-1", Country: "DE", Verdict: "permit", Ground: "in_eea", At: at, TookMS: 2000, Result: "silent", Fallback: "plain", Drill: "blackhole"}},
		Packets:   map[string]uint64{"CH": 3000, "DE": 3001},
		Moves:     []Move{move},
		Transfers: []Transfer{exampleTransfer(at)},
		Struck:    []Struck{{T: at.Add(2 * time.Second), Leg: "b", Party: "zrh", Cause: "2000/518/EC", How: "ended", Until: at.Add(3 * time.Second)}},
		Recording: RecordingState{
			Required: true, Started: true, Country: "CH", Session: "s1",
		},
		Outcome:      Outcome{SIPFinal: 200, EndedBy: "a", Cause: "normal", Q850: 16, Quality: exampleQuality()},
		Overall:      "compliant_by_gate",
		PolicyDigest: "sha256:p", Generation: 3, Announced: exampleAnnounced(),
	}
}

func exampleAnnounced() *Announced {
	return &Announced{Sound: "file", Codec: "PCMA", Answered: true, ForMS: 4020, Whole: true}
}

// TestKindsGolden holds every word that is ever written to a log.
func TestKindsGolden(t *testing.T) {
	at := time.Date(2026, 11, 20, 8, 0, 1, 5, time.UTC)
	var got bytes.Buffer
	seen := map[Kind]bool{}
	for _, ev := range examples() {
		body, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		offset, most := 0.25, 1.5
		e := Entry{
			ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Kind: ev.Kind(), Tenant: "bank-1", Node: "edge-1", Software: "cordon 1", PolicyDigest: "sha256:p",
			FactsDigest: "sha256:f", Generation: 3, Time: at, Clock: Clock{Source: "chrony", Stratum: 2, OffsetMS: &offset, MaxErrorMS: &most, LastSync: at},
			Gap: ev.Kind() == KindGap, Body: body, Seq: 9,
		}
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(append(line, '\n'))
		if seen[ev.Kind()] || !ev.Kind().Known() {
			t.Errorf("%s: twice, or unknown", ev.Kind())
		}
		seen[ev.Kind()] = true
		back, err := Decode(e)
		if err != nil || !reflect.DeepEqual(back, ev) {
			t.Errorf("%s: decoded as %+v, %v", ev.Kind(), back, err)
		}
	}
	const path = "testdata/kinds.golden"
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	if len(g) != len(w) || len(seen) != 83 {
		t.Fatalf("%d kinds in %d lines, the golden file has %d", len(seen), len(g), len(w))
	}
	for i := range w {
		if g[i] != w[i] {
			t.Errorf("line %d:\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
}

// TestClockUnknown holds that what nobody measured does not read as a measured zero. RTS (EU) 2024/1774 Art. 12(2)(f).
func TestClockUnknown(t *testing.T) {
	zero := 0.0
	for want, c := range map[string]Clock{
		`{"source":"system"}`:                             {Source: "system"},
		`{"source":"gps","offset_ms":0}`:                  {Source: "gps", OffsetMS: &zero},
		`{"source":"gps","offset_ms":0,"max_error_ms":0}`: {Source: "gps", OffsetMS: &zero, MaxErrorMS: &zero},
	} {
		got, err := json.Marshal(c)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
		var back Clock
		if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("%s read as %+v, %v", got, back, err)
		}
	}
	l := openTest(t, "memory", testConfig())
	mustAppend(t, l, NodeStarted{})
	raw, err := l.(*spine).leaf(t.Context(), 0)
	if err != nil || !strings.Contains(string(raw), `"clock":{"source":"system"}`) {
		t.Errorf("%s, %v", raw, err)
	}
}

// TestExamplesFull holds that no example leaves a field at zero, where a rename could hide behind omitempty.
func TestExamplesFull(t *testing.T) {
	var full func(path string, v reflect.Value)
	full = func(path string, v reflect.Value) {
		switch {
		case v.Type() == reflect.TypeFor[time.Time](), v.Kind() != reflect.Struct && v.IsZero():
			if v.IsZero() {
				t.Errorf("%s is not set", path)
			}
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				full(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		case v.Kind() == reflect.Pointer:
			full(path, v.Elem())
		case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
			full(path, v.Index(0))
		}
	}
	for _, ev := range examples() {
		full(string(ev.Kind()), reflect.ValueOf(ev))
	}
}

func TestDecodeBad(t *testing.T) {
	for _, ev := range examples() {
		_, err := Decode(Entry{Kind: ev.Kind(), Body: []byte("[]")})
		if _, raw := ev.(Raw); (err == nil) != raw {
			t.Errorf("%s: %v", ev.Kind(), err)
		}
	}
	ev, err := Decode(Entry{Kind: "from.tomorrow", Body: []byte(`{"a":1}`)})
	if r, ok := ev.(Raw); err != nil || !ok || r.Kind() != "from.tomorrow" || string(r.Body) != `{"a":1}` || r.Kind().Known() {
		t.Errorf("%+v, %v", ev, err)
	}
}

func TestULID(t *testing.T) {
	var u ulids
	at := time.Date(2026, 11, 20, 8, 0, 0, 999999, time.UTC)
	seen := map[string]bool{}
	last := ""
	for range 1000 {
		id := u.make(at)
		got, err := ulidTime(id)
		if err != nil || got.UnixMilli() != at.UnixMilli() || seen[id] || id <= last {
			t.Fatalf("%s after %s: %v, %v", id, last, got, err)
		}
		seen[id], last = true, id
	}
	if id := u.make(at.Add(time.Millisecond)); id <= last {
		t.Errorf("%s after %s", id, last)
	}
	if id := u.make(at.Add(-time.Hour)); id >= last {
		t.Errorf("%s: the clock was put back, the id was not", id)
	}
	// The canonical example of the ULID specification.
	if got, err := ulidTime("01ARYZ6S41TSV4RRFFQ69G5FAV"); err != nil || got.UnixMilli() != 1469918176385 {
		t.Errorf("%v, %v", got, err)
	}
	if got := encodeULID([16]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}); got != "7ZZZZZZZZZZZZZZZZZZZZZZZZZ" {
		t.Errorf("largest: %s", got)
	}
	for _, bad := range []string{"", "01ARYZ6S41TSV4RRFFQ69G5FA", "81ARYZ6S41TSV4RRFFQ69G5FAV", "01ARYZ6S41TSV4RRFFQ69G5FAU", "01aryz6s41tsv4rrffq69g5fav"} {
		if _, err := ulidTime(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
