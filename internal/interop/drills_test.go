//go:build interop && drills

package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The library of drills on real sockets: for each scenario a node of its own between namespaces, baresip over TLS with SRTP, found by SRV records of a Knot name server,
// and SIPp as edges, two carriers whose customers call all the while, and tcpdump before the place that nothing may reach. What may run in production does (mode full); the rest runs in the node's sandbox, beside
// the same live calls. The plays take minutes each, and run side by side.

// drillLab is one node under live load, with what drills need.
type drillLab struct {
	*node
	file   string
	live   [2]*sipp // customers who call, by carrier
	abroad [2]*wire // on the way to the places that nothing may reach
}

// drillsConfig lets two people of the staff run drills at any hour of any day.
const drillsConfig = `limits: {rate_per_source: 50}
drills:
  scenarios: scenarios
  windows: [{name: always, from: "00:00", to: "23:59"}]
  starters: [ops]
  approvers: [anna]
  low_volume: {at_most: 100%, calls: 1000}
  canary: {max_share: 50%, max_calls: 20}
  throttle: 20
  alert: {lead: 1m, channels: [duty]}
notify: [{name: duty, type: console}]`

// drilled is the number that the scenarios that ship call; a phone answers no other than its own.
const drilled = "+4969900100"

// talksForSeconds is a call of a customer's, with audio both ways.
const talksForSeconds = `> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
play
wait 4000
> BYE
< 200`

func newDrillLab(t *testing.T, own ...string) *drillLab {
	t.Helper()
	net := connect(t, 1, 5, 10, 20, 40, 50)
	w := &world{at: net.in[5], edge: lan(5, 10), dir: t.TempDir(), more: drillsConfig, gate: "{quorum: 2, approve_in: 4m}", health: "{interval: 1s, timeout: 900ms, fall: 3, rise: 2, hold_down: 1s, slow_rtt: 300ms}"}
	w.pki(t, "edge.lab.example,"+lan(5, 10), "fra.lab.example")
	w.signs(t, "ops")
	w.signs(t, "ben")
	fra := newPhone(t, phoneOptions{at: net.in[10], addr: lan(10, 10), user: drilled, secure: true, source: "echoes", pki: w, name: "fra"})
	zrh := answer(t, lan(20, 10), answers, options{at: net.in[20], echo: true})
	var far []party // after them only a denied place and one that is held at the gate, either of which a scenario may call forbidden
	for i, name := range []string{"moscow", "ashburn"} {
		at := 50 - 10*i
		far = append(far, answer(t, lan(at, 10), answers, options{at: net.in[at], echo: true}).as(name, "udp"))
	}
	if strings.Contains(strings.Join(own, ""), "held: {party: forbidden}") {
		slices.Reverse(far)
	}
	ip(t, "-n", net.in[1].netns, "addr", "add", lan(1, 20)+"/24", "dev", "eth0")
	carriers := []string{lan(1, 10), lan(1, 20)}
	for i, addr := range carriers {
		w.trunks = append(w.trunks, answer(t, addr, quiet, options{at: net.in[1]}).as([]string{"carrier", "other"}[i], "udp"))
	}
	named := fra.as("fra", "tls")
	dns := newNames(t, net.in[5], lan(5, 10), "lab.example", fmt.Sprintf("_sips._tcp.fra 5 SRV 0 0 %d sbc.fra\nsbc.fra 5 A %s", named.port, named.addr))
	named.addr, named.port, named.region = "fra.lab.example", 0, regionOf(named.addr)
	w.more += fmt.Sprintf("\ndns: {servers: [\"%s:%d\"]}", dns.addr, dns.port)
	w.groups = append([]party{named, zrh.as("zrh", "udp")}, far...)
	for _, list := range [][]party{w.trunks, w.groups} {
		for i := range list {
			list[i].more += fmt.Sprintf("\nprovider: {name: %[1]s GmbH, lei_or_euid: DELAB.%[1]s}", list[i].name)
		}
	}
	if err := os.Mkdir(filepath.Join(w.dir, "scenarios"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, text := range own {
		name := regexp.MustCompile(`(?m)^drill: (\S+)`).FindStringSubmatch(text)[1]
		writeFile(t, filepath.Join(w.dir, "scenarios", name+".yaml"), []byte(text))
	}
	l := &drillLab{node: boot(t, w, "carrier", "other", "fra", "zrh"), abroad: [2]*wire{net.listen(t, "r40", "dst host "+lan(40, 10)), net.listen(t, "r50", "dst host "+lan(50, 10))}}
	l.file = filepath.Join(w.dir, "cordon.yaml")
	l.errors = []string{"nothing synchronises the clock"} // of a lab; it is said once five minutes are over
	for i, addr := range carriers {
		l.live[i] = dial(t, l.node, addr, talksForSeconds, options{at: net.in[1]}, "-s", drilled, "-m", "1000000", "-l", "40", "-r", "1", "-rp", []string{"1000", "2000"}[i], "-timeout", "3h")
	}
	until(t, "customers talk", 30*time.Second, func() bool { return l.calls() >= 4 })
	return l
}

// drill is what the door tells of one.
type drill struct {
	Request struct {
		Drill string `json:"drill"`
		Mode  string `json:"mode"`
	} `json:"request"`
	State string `json:"state"`
	Begun time.Time
	Ended *struct {
		Outcome  string
		Cause    string
		Crash    bool `json:"after_crash"`
		End      time.Time
		Restored time.Time
		Measured struct {
			RTO     *float64 `json:"rto_measured_s"`
			Detect  *int64   `json:"detect_ms"`
			Placed  int      `json:"calls_placed"`
			Dropped int      `json:"calls_dropped"`
			Refused int      `json:"forbidden_refused"`
			Lost    int      `json:"rpo_records_lost"`
			Restore *int64   `json:"restore_ms"`
		}
		Judgements []struct {
			Word, Wanted, Measured string
			Holds                  bool
		}
	}
	Steps []struct {
		At         time.Time
		Word, What string
	}
}

func (l *drillLab) look(id string) (d drill) {
	l.t.Helper()
	l.get("/api/v1/drills/"+id, &d)
	return d
}

// whole is everything that the door tells of a drill, for whoever looks for the reason.
func (l *drillLab) whole(id string) string {
	var raw json.RawMessage
	l.get("/api/v1/drills/"+id, &raw)
	return string(raw)
}

// begin asks for a drill as one person and agrees as another, and gives its id.
func (l *drillLab) begin(scenario, mode string, more ...string) string {
	l.t.Helper()
	out := l.mustCLI("ops", append([]string{"drill", "start", scenario, "--mode=" + mode, "--route=inbound", "--reason=make drill"}, more...)...)
	id, _, _ := strings.Cut(out, " ")
	if mode != "sandbox" {
		if out, err := l.cli("ops", "drill", "approve", id, "--reason=my own"); err == nil {
			l.t.Errorf("who asks for a drill agrees to it, too: %s", out)
		}
		l.mustCLI("anna", "drill", "approve", id, "--reason=read")
	}
	return id
}

// taken waits until something is gone, and gives the moment.
func (l *drillLab) taken(id string) (at time.Time) {
	l.t.Helper()
	untilWithin(l.t, "something is taken away", 5*time.Minute, func() bool {
		d := l.look(id)
		if d.State == "ended" || d.State == "void" {
			l.t.Fatalf("nothing was taken away: %s", l.whole(id))
		}
		for _, s := range d.Steps {
			if s.Word == "taken" {
				at = s.At
			}
		}
		return !at.IsZero()
	})
	return at
}

// over waits for the end of a drill.
func (l *drillLab) over(id string) (d drill) {
	l.t.Helper()
	untilWithin(l.t, "the drill is over", time.Hour, func() bool {
		if d = l.look(id); d.State == "void" {
			l.t.Fatalf("it never began: %s", l.whole(id))
		}
		return d.Ended != nil
	})
	return d
}

// untilWithin is until for what takes minutes.
func untilWithin(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// outcome holds what is true of every drill, and puts its row into the table.
func (l *drillLab) outcome(name, want string, d drill) {
	l.t.Helper()
	e := d.Ended
	rto, restored := "-", "NOT RESTORED"
	if e.Measured.RTO != nil {
		rto = fmt.Sprintf("%.1f s", *e.Measured.RTO)
	}
	if took := e.Measured.Restore; took != nil {
		restored = ms(time.Duration(*took) * time.Millisecond)
	} else if !e.Restored.IsZero() {
		restored = ms(e.Restored.Sub(e.End))
	}
	noted(l.t, name+", "+d.Request.Mode, fmt.Sprintf("%s; RTO %s; %d of %d calls of the drill lost; restored in %s", e.Outcome, rto, e.Measured.Dropped, e.Measured.Placed, restored), want)
	if e.Outcome != want {
		l.t.Errorf("%s ended %s: %s", name, e.Outcome, e.Cause)
		for _, j := range e.Judgements {
			if !j.Holds {
				l.t.Errorf("    %s: wanted %s, measured %s", j.Word, j.Wanted, j.Measured)
			}
		}
	}
	if e.Restored.IsZero() || e.Measured.Lost != 0 {
		l.t.Errorf("%s left something: %+v", name, e)
	}
}

// end ends the customers and the node. Nothing went abroad, no receipt tells of a breach, and the log verifies. lost is how many calls may fail, by carrier.
func (l *drillLab) end(lost [2]int, talked int) {
	l.t.Helper()
	for _, live := range l.live {
		live.signal(syscall.SIGUSR1)
	}
	until(l.t, "the customers have hung up", 45*time.Second, func() bool { return l.live[0].ended() && l.live[1].ended() || l.calls() == 0 })
	for i, live := range l.live {
		live.kill() // those whose call a killed node took along ask for its end for half a minute
		st := live.stats()
		noted(l.t, strings.TrimPrefix(l.t.Name(), "TestDrills/")+": customers of "+[]string{"the carrier", "the other carrier"}[i], fmt.Sprintf("%d well, %d failed", st.successful, st.failed), fmt.Sprintf("at most %d failed", lost[i]))
		if st.failed > lost[i] || st.successful < talked/(i+1) {
			l.t.Errorf("customers: %d calls went well, %d failed", st.successful, st.failed)
		}
	}
	for i, addr := range []string{lan(40, 10), lan(50, 10)} {
		if out := l.abroad[i].seen(l.t, "ip.dst == "+addr); len(out) != 0 {
			l.t.Errorf("%d packets went to %s", len(out), addr)
		}
	}
	for _, r := range l.receipts(talked + talked/2) {
		if r.Overall == "violation" {
			l.t.Errorf("%+v", r)
		}
	}
	l.stop()
}

// lastWords are what people say of a drill after its end: what one signs who holds a key, and who ran it does not judge it.
func (l *drillLab) lastWords(id string) {
	l.t.Helper()
	clean, judge := []string{"drill", "cleanup", id, "--reason=looked at routes and calls"}, []string{"drill", "signoff", id, "--accept", "--reason=read, with its receipts"}
	d := l.look(id)
	if d.Ended.Outcome != "passed" {
		judge[3] = "--reject"
	}
	if d.Request.Mode != "sandbox" {
		if out, err := l.cli("ops", clean...); err == nil {
			l.t.Errorf("who holds a key cleaned up without it: %s", out)
		}
	}
	l.mustCLI("ops", append(clean, "--role=operator", "--key="+filepath.Join(l.dir, "ops.key"))...)
	if out, err := l.cli("ops", append(judge, "--role=operator", "--key="+filepath.Join(l.dir, "ops.key"))...); err == nil {
		l.t.Errorf("who ran a drill judged it: %s", out)
	}
	l.mustCLI("clara", "drill", "ack", id)
	l.mustCLI("ben", append(judge, "--role=business_owner", "--key="+filepath.Join(l.dir, "ben.key"))...)
	l.mustCLI("ben", "drill", "reported", id, "--date="+time.Now().UTC().Format(time.DateOnly), "--minutes=MB 4")
}

// report writes the report in each form into the folder of results, if there is one, and the page as a picture.
func (l *drillLab) report(name, id string) {
	l.t.Helper()
	dir := os.Getenv("DRILL_REPORTS")
	if dir == "" {
		dir = l.t.TempDir()
	}
	for _, format := range []string{"json", "html", "pdf"} {
		file := filepath.Join(dir, name+"."+format)
		_ = os.Remove(file) // of the run before
		l.mustCLI("ops", "drill", "report", id, "--format="+format, "--out="+file)
	}
	page := filepath.Join(dir, name)
	if _, err := exec.LookPath("chromium"); err != nil {
		l.t.Logf("no picture of %s.html: there is no chromium", page)
		return
	}
	out, err := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--user-data-dir="+l.t.TempDir(),
		"--window-size=1200,2400", "--screenshot="+page+".png", "file://"+page+".html").CombinedOutput()
	if err != nil {
		l.t.Errorf("chromium: %v: %s", err, out)
	}
}

// here makes a scenario that ships fit for the lab, under a name of its own: two processors carry every node and its peers, so that CPU stops nothing; as the lab's
// route fails back after a second, what waits ten minutes for that is over sooner; and as its approval clock is at 4 minutes and not at 30, so is what waits for that,
// unless DRILL_WHOLE asks for the time that ships.
func here(t *testing.T, name string) (own, text string) {
	t.Helper()
	out, err := loopback.command(cordonBin, "drill", "list", "--show="+name).Output()
	if err != nil {
		t.Fatal(err)
	}
	own = "lab-" + name
	text = strings.Replace(string(out), "drill: "+name, "drill: "+own, 1)
	if os.Getenv("DRILL_WHOLE") == "" {
		text = strings.NewReplacer("\nend: {after: 18m}", "\nend: {after: 8m}", "for: 40m}", "for: 6m}", "\nend: {after: 45m}", "\nend: {after: 10m}").Replace(text)
	}
	return own, text + "stop: {cpu: 100%}\nfunction: {id: F-17, name: Service line, critical: true, rto: 4h, rpo: 0s, bia: BIA-2026-4}\n"
}

// shipped are the scenarios that ship, with where they may run and what they need.
func shipped(t *testing.T) (names, modes, needs []string) {
	t.Helper()
	out, err := loopback.command(cordonBin, "drill", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := regexp.MustCompile(`\s{2,}`).Split(strings.TrimSpace(line), 4); len(f) >= 3 && f[0] != "SCENARIO" {
			names, modes = append(names, f[0]), append(modes, f[1])
			if len(f) < 4 { // the column of needs is empty
				f[2] = ""
			}
			needs = append(needs, f[2])
		}
	}
	if len(names) < 9 {
		t.Fatalf("only %d scenarios ship: %s", len(names), out)
	}
	return names, modes, needs
}

// chosen says whether a play is wanted: DRILLS names them with commas; all by default.
func chosen(name string) bool {
	list := os.Getenv("DRILLS")
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

func TestDrills(t *testing.T) {
	names, modes, needs := shipped(t)
	for i, name := range names {
		if !chosen(name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own, text := here(t, name)
			l := newDrillLab(t, text)
			if needs[i] != "" {
				out, err := l.cli("ops", "drill", "start", name, "--route=inbound", "--reason=make drill")
				if err == nil || !strings.Contains(out, "needs a "+needs[i]) {
					t.Errorf("it was not refused by the name of what is missing: %s", out)
				}
				noted(t, name, "refused: it needs a "+needs[i], "refused")
				l.end([2]int{}, 0)
				return
			}
			mode := "sandbox"
			if strings.Contains(modes[i], "full") {
				mode = "full"
			}
			id := l.begin(own, mode)
			d := l.over(id)
			l.outcome(name, "passed", d)
			l.lastWords(id)
			l.report(name, id)
			lost := [2]int{}
			switch {
			case name == "carrier-loss": // it is their carrier that is gone, for two minutes; those of the other one notice nothing
				lost[0] = 250
			case mode == "full":
				lost = [2]int{5, 3}
			}
			l.end(lost, 20)
		})
	}
}

// A canary takes a share of the customers' calls the way of the drill, with a cap. None of them is lost to it, and the others notice nothing.
func TestADrillOfAShare(t *testing.T) {
	if !chosen("canary") {
		return
	}
	t.Parallel()
	own, text := here(t, "region-loss")
	l := newDrillLab(t, text)
	id := l.begin(own, "canary", "--share=40%", "--calls=4")
	l.outcome("region-loss", "passed", l.over(id))
	l.lastWords(id)
	l.report("region-loss-canary", id)
	by := map[string]int{}
	for _, r := range l.receipts(20) {
		if r.Purpose == "production" {
			by[map[bool]string{true: "of the share, by ", false: "others, by "}[r.Drill == id]+r.EdgeGroup]++
		}
	}
	noted(t, "... calls of customers", fmt.Sprint(by), "of the share by fra and zrh, others by fra")
	if by["of the share, by zrh"] < 5 || by["of the share, by fra"] == 0 || by["others, by zrh"] > 0 || by["others, by fra"] < 100 {
		t.Errorf("%v", by)
	}
	l.end([2]int{}, 20)
}

// Everything that could carry the line is gone at once, so that the line is not carried: the runner must say so.
const hopeless = `drill: hopeless
version: 1
title: Both choices are gone, and it is expected that nobody notices
class: primary_region_loss
authors: [anna]
modes: [sandbox, full]
stop: {cpu: 100%}
calls:
  - {called: "+4969900100", each: 2s, hold: 10s}
take:
  - {what: {region: primary}, how: blackhole, at: 15s, for: 45s}
  - {what: {region: secondary}, how: blackhole, at: 15s, for: 45s}
expect:
  - {answered: {by: [primary, secondary], within: 3s}}
  - {refused: {party: forbidden}}
end: {after: 90s}
`

func TestADrillThatMustFail(t *testing.T) {
	if !chosen("hopeless") {
		return
	}
	t.Parallel()
	l := newDrillLab(t, hopeless)
	id := l.begin("hopeless", "sandbox")
	d := l.over(id)
	l.outcome("hopeless (made to fail)", "failed", d)
	l.report("hopeless", id)
	if out, err := l.cli("ops", "drill", "watch", id); err == nil {
		t.Errorf("a drill that failed is a success to scripts: %s", out)
	}
	l.end([2]int{}, 20)
}

// A drill that is stopped, and one whose node is killed, are over at once: customers are answered by the first choice again.
func TestADrillIsStoppedOrKilled(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		if !chosen(how) {
			continue
		}
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			own, text := here(t, "region-loss")
			l := newDrillLab(t, text)
			id := l.begin(own, "full")
			l.taken(id)
			l.waitFor("fra", "down")
			began := time.Now()
			if how == "stop" {
				l.mustCLI("ben", "drill", "stop", id, "--reason=enough")
			} else {
				l.gaps++
				l.kill()
				l.run(l.file)
			}
			l.waitFor("fra", "up")
			untilWithin(t, "a customer is answered by the first choice", time.Minute, func() bool {
				list := l.receipts(1)
				r := list[len(list)-1]
				return r.EdgeGroup == "fra" && r.TInvite.After(began)
			})
			took := time.Since(began)
			measured(t, "drill, "+how+": until customers are answered by the first choice, receipt of the whole call included", took, 40*time.Second)
			d := l.over(id)
			if d.Ended.Outcome != "aborted" || d.Ended.Crash != (how == "kill") {
				t.Errorf("it ended %+v", d.Ended)
			}
			noted(t, "... as the drill tells it", fmt.Sprintf("%s: %s", d.Ended.Outcome, d.Ended.Cause), "aborted")
			if how == "stop" {
				measured(t, "drill, stop: until everything is as before", d.Ended.Restored.Sub(d.Ended.End), 10*time.Second)
			}
			l.end(map[string][2]int{"stop": {5, 3}, "kill": {60, 30}}[how], 20)
		})
	}
}
