package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// system is something that calls go through.
type system struct {
	name, says string
	at         netip.AddrPort // where callers send to
	uas        netip.AddrPort // where its callee listens
	vias       int            // that a request has at the callee
	boot       func(ctx context.Context, p *plan, s *system) error
	proc       *process // nil: calls go directly
	binary     string   // of cordon
	api        string   // its address; empty for the others
	token      string
}

const (
	nameCordon   = "cordon"
	nameBefore   = "before"
	nameKamailio = "kamailio"
	nameSipgo    = "sipgo"
	nameDirect   = "direct"
)

// systems lists what a run measures.
func (p *plan) systems() ([]*system, error) {
	at := func(host string, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(host), port)
	}
	direct := at("127.10.0.1", 7004)
	all := []*system{
		{name: nameCordon, says: "cordon, B2BUA with policy, SDP rewrite, receipts", at: at("127.5.0.10", 5060), uas: at("127.10.0.1", 7001), vias: 1, boot: bootCordon, binary: p.cordon, api: "127.0.0.1:8497"},
		{name: nameKamailio, says: "Kamailio, record-routing tm relay, -x fm", at: at("127.5.0.11", 5060), uas: at("127.10.0.1", 7002), vias: 2, boot: bootKamailio},
		{name: nameSipgo, says: "sipgo server API, record-routing relay", at: at("127.5.0.12", 5060), uas: at("127.10.0.1", 7003), vias: 2, boot: bootSipgo},
		{name: nameDirect, says: "no system between caller and callee", at: direct, uas: direct},
	}
	before := &system{name: nameBefore, says: "cordon, another binary", at: at("127.5.0.13", 5060), uas: at("127.10.0.1", 7005), vias: 1, boot: bootCordon, binary: p.against, api: "127.0.0.1:8498"}
	if p.only == "" {
		if p.against != "" {
			all = append(all, before)
		}
		return all, nil
	}
	for _, s := range all {
		if s.name == p.only && s.boot != nil {
			only := []*system{s, all[3]}
			if p.against != "" {
				only = append(only, before)
			}
			return only, nil
		}
	}
	return nil, fmt.Errorf("-only %q: want %s, %s or %s", p.only, nameCordon, nameKamailio, nameSipgo)
}

func (s *system) start(ctx context.Context, p *plan) error {
	if s.boot == nil {
		return nil
	}
	if err := s.boot(ctx, p, s); err != nil {
		if s.proc != nil {
			return fmt.Errorf("%w: %s", err, s.proc.tail())
		}
		return err
	}
	return nil
}

func (s *system) stop() error {
	if s.proc == nil {
		return nil
	}
	return s.proc.end(15 * time.Second)
}

// Nobody answers probes while other systems have their turns, so a target may be silent for 200 s before it counts as down.
const configText = `tenant: {org_id: bench, name: Bench}
node: {name: edge-1, state_dir: state}
policy:
  preset: eea_plus_adequacy
  home: aws:eu-central-1
  allow: ["bench:carrier", aws:eu-central-1]
regions:
  - {key: "bench:carrier", country: DE, city: Frankfurt, contract: annex 3}
places:
  - {prefix: 127.1.0.0/16, region: "bench:carrier", operator: Bench, contract: annex 2}
  - {prefix: 127.5.0.0/16, region: aws:eu-central-1, operator: Bench, contract: annex 2}
  - {prefix: 127.10.0.0/16, region: aws:eu-central-1, operator: Bench, contract: annex 2}
listeners:
  - {transport: udp, address: "%[1]s"}
trunks:
  - name: carrier
    region: "bench:carrier"
    members: [{host: %[2]s, port: 7061, transport: udp}]
    media: {security: plain}
edge_groups:
  - name: fra
    region: aws:eu-central-1
    members: [{host: %[3]s, port: %[4]d, transport: udp}]
    media: {security: plain}
routes:
  - {name: inbound, direction: inbound, to: [{party: fra}], on_hold: {status: 403}}
media: {ports: 10000-59999, inprocess: true}
health: {interval: 20s, timeout: 1s, fall: 10, rise: 1, hold_down: 1s}
gate: {quorum: 2}
people:
  - {id: anna, roles: [incident_commander], scopes: [org.read], token: {file: anna.token}}
  - {id: ben, roles: [business_owner], scopes: [org.read], token: {file: ben.token}}
  - {id: clara, roles: [dpo], scopes: [org.read], token: {file: clara.token}}
  - {id: ops, roles: [operator], scopes: [org.read, logs.view, api.healthcheck], token: {file: ops.token}}
limits: {max_calls: 20000, rate_per_source: 100000}
api: {address: "%[5]s"}
`

// bootCordon runs the binary as an operator would, with everything on: policy, receipts, the log on disk, probes, metrics.
func bootCordon(ctx context.Context, p *plan, s *system) error {
	dir := filepath.Join(p.dir, "node-"+s.name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s.token = "ops-of-the-bench-of-signalling"
	files := map[string]string{"uas.xml": callee, "cordon.yaml": fmt.Sprintf(configText, s.at, callerAddr, s.uas.Addr(), s.uas.Port(), s.api), "ops.token": s.token}
	for _, person := range []string{"anna", "ben", "clara"} {
		files[person+".token"] = person + "-of-the-bench-of-signalling"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			return err
		}
	}
	var err error
	if s.proc, err = launch(ctx, coreOfSystem, dir, "cordon", []string{"GOMAXPROCS=1"}, s.binary, "run", "-c", "cordon.yaml", "--drain", "3s"); err != nil {
		return err
	}
	// A callee that answers probes stands until the group is up.
	probed, err := p.sipp(ctx, dir, "uas", "-i", s.uas.Addr().String(), "-p", fmt.Sprint(s.uas.Port()), "-mp", "40000")
	if err != nil {
		return err
	}
	defer func() { _ = probed.end(time.Second) }()
	return until(ctx, 30*time.Second, func() bool { return s.proc.ended() || s.up("fra") })
}

// up says whether a party's target is up.
func (s *system) up(party string) bool {
	b, err := s.get("/api/v1/targets")
	if err != nil {
		return false
	}
	var v struct {
		Targets []struct{ Party, State string }
	}
	if json.Unmarshal(b, &v) != nil {
		return false
	}
	for _, t := range v.Targets {
		if t.Party == party && t.State == "up" {
			return true
		}
	}
	return false
}

func (s *system) get(path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.api+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, res.Status)
	}
	return b, err
}

// metrics are some of cordon's own metrics without labels; zeros for a system that has none.
func (s *system) metrics(names ...string) ([]float64, error) {
	out := make([]float64, len(names))
	if s.api == "" {
		return out, nil
	}
	b, err := s.get("/metrics")
	if err != nil {
		return nil, err
	}
	found := 0
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if i := slices.Index(names, name); i >= 0 {
			if out[i], err = strconv.ParseFloat(text, 64); err != nil {
				return nil, fmt.Errorf("/metrics: %s: %w", name, err)
			}
			found++
		}
	}
	if found != len(names) {
		return nil, fmt.Errorf("/metrics has %d of %v", found, names)
	}
	return out, nil
}

// collects is how long a collection of cordon's may be waited for. What asks for its metrics makes the garbage that brings one about.
const collects = 12 * time.Second

// live is the memory that cordon's collector found in use, with all stacks, in a collection that began after this call; 0 for a system that does not tell. Unlike
// PSS it holds no garbage, and no room that the collector keeps.
func (s *system) live(ctx context.Context) (float64, error) {
	if s.api == "" {
		return 0, nil
	}
	const longest = 200 * time.Millisecond // of one collection
	after, limit := float64(time.Now().Add(longest).UnixNano())/1e9, time.Now().Add(collects)
	for time.Now().Before(limit) {
		v, err := s.metrics("go_memstats_last_gc_time_seconds", "go_gc_heap_live_bytes", "go_memstats_stack_inuse_bytes")
		if err != nil || v[0] > after {
			return sum(v[1:]), err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("no collection in %v", collects)
}

const kamailioText = `debug=-1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:%s
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "pv.so"
loadmodule "siputils.so"
request_route {
	if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (has_totag()) {
		if (loose_route()) { t_relay(); exit; }
		if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
		sl_send_reply("404", "Not Here");
		exit;
	}
	if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
	t_check_trans();
	record_route();
	sethostport("%s");
	t_relay();
}
`

// bootKamailio runs it as a relay and no more: transactions and record-routing, its fast allocator, one worker.
func bootKamailio(ctx context.Context, p *plan, s *system) error {
	dir := filepath.Join(p.dir, "kamailio")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "kamailio.cfg"), fmt.Appendf(nil, kamailioText, s.at, s.uas), 0o600); err != nil {
		return err
	}
	program := "kamailio"
	if _, err := os.Stat("/usr/sbin/kamailio"); err == nil {
		program = "/usr/sbin/kamailio"
	}
	var err error
	s.proc, err = launch(ctx, coreOfSystem, dir, "kamailio", nil, program,
		"-DD", "-E", "-x", "fm", "-X", "fm", "-m", "512", "-M", "16", "-f", "kamailio.cfg", "-Y", dir, "-P", filepath.Join(dir, "pid"))
	if err != nil {
		return err
	}
	return s.listening(ctx)
}

// bootSipgo runs this program as a relay on sipgo's server API.
func bootSipgo(ctx context.Context, p *plan, s *system) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if s.proc, err = launch(ctx, coreOfSystem, p.dir, "sipgo", []string{"GOMAXPROCS=1"}, self, "relay", s.at.String(), s.uas.String()); err != nil {
		return err
	}
	return s.listening(ctx)
}

func (s *system) listening(ctx context.Context) error {
	err := until(ctx, 10*time.Second, func() bool { return s.proc.ended() || bound(s.at) })
	if err == nil && s.proc.ended() {
		err = fmt.Errorf("ended: %w", s.proc.err)
	}
	return err
}

// bound says whether a UDP socket is bound to an address.
func bound(a netip.AddrPort) bool {
	b, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return false
	}
	ip := a.Addr().As4()
	return strings.Contains(string(b), fmt.Sprintf(": %02X%02X%02X%02X:%04X ", ip[3], ip[2], ip[1], ip[0], a.Port()))
}

// until waits for a condition.
func until(ctx context.Context, d time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}
