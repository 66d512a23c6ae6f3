//go:build interop

package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/carrier"
)

// party is a trunk or an edge group of a scenario. Where it stands follows from its address.
type party struct {
	name      string
	addr      string
	port      uint16
	transport string // udp, tcp, tls
	region    string
	media     string // YAML of the media key, e.g. "{security: plain}"
	more      string // further YAML keys of the party, one line each
}

// world is everything that a configuration of a scenario says.
type world struct {
	at       place
	edge     string // address of the node
	trunks   []party
	groups   []party
	to       []string // the groups of the route, in order; default: all
	allow    []string
	gate     string
	policy   string   // further keys of policy
	routes   string   // further routes, as lines of YAML
	also     []string // listeners of transports that no party has
	clientCA bool     // TLS listeners ask for a certificate of the authority of this world
	more     string   // further top-level keys
	log      string   // further keys of log, each behind a comma
	health   string
	keys     map[string]string // with which people sign, as YAML, by their id
	ports    map[string]uint16 // of the node's listeners, where a peer must know them before; default: free ones

	dir string // made by run
	ca  *carrier.CA
}

// people of every scenario, with their tokens.
var people = []struct{ ID, Role string }{{"anna", "incident_commander"}, {"ben", "business_owner"}, {"clara", "dpo"}, {"ops", "operator"}}

const configText = `tenant: {org_id: interop-bank, name: Interop Bank AG, lei: 529900EXAMPLEBANK046}
node: {name: edge-1, state_dir: state}
policy:
  preset: eea_plus_adequacy
  home: aws:eu-central-1
  allow: [{{join .Allow}}]
  {{.Policy}}
regions:
  - {key: "lab:carrier", country: DE, city: Frankfurt, contract: annex 3}
  - {key: "lab:moscow", country: RU, city: Moscow, contract: "none: it is there to be refused"}
places:
{{- range .Places}}
  - {prefix: {{.Prefix}}, region: "{{.Region}}", operator: Lab, contract: annex 2}
{{- end}}
listeners:
{{- range .Listeners}}
  - {transport: {{.Transport}}, address: "{{.Address}}"{{if eq .Transport "tls"}}, cert_file: edge.crt, key_file: edge.key{{if $.ClientCA}}, client_ca_file: roots.pem{{end}}{{end}}}
{{- end}}
trunks:
{{- range .Trunks}}{{template "party" .}}{{end}}
edge_groups:
{{- range .Groups}}{{template "party" .}}{{end}}
routes:
  - name: inbound
    direction: inbound
    to: [{{range $i, $g := .To}}{{if $i}}, {{end}}{party: {{$g}}}{{end}}]
    on_hold: {status: 403}
    failback: {after: 1s}
  - name: outbound
    direction: outbound
    to: [{{range $i, $g := .Trunks}}{{if $i}}, {{end}}{party: {{$g.Name}}}{{end}}]{{.Routes}}
health: {{.Health}}
gate: {{.Gate}}
people:
{{- range .People}}
  - {id: {{.ID}}, unit: desk of the {{.Role}}, roles: [{{.Role}}], scopes: [org.read, logs.view, api.healthcheck, calls.trace], token: {file: {{.ID}}.token}{{with index $.Keys .ID}}, keys: [{{.}}]{{end}}}
{{- end}}
log: {reserve: 1MiB{{.Log}}}
api: {address: "{{.API}}"}
{{.More}}
{{define "party"}}
  - name: {{.Name}}
    region: "{{.Region}}"
    members: [{host: {{.Addr}}, port: {{.Port}}, transport: {{.Transport}}}]
    media: {{.Media}}
{{- range .More}}
    {{.}}
{{- end}}
{{- end}}`

// regionOf says where the scenarios' addresses stand: 127.N.0.0/16 on loopback, 10.66.N.0/24 in a namespace.
var regions = map[int]string{
	1: "lab:carrier", 5: "aws:eu-central-1", 10: "aws:eu-central-1", 20: "aws:eu-central-2", 30: "aws:eu-north-1", 40: "aws:us-east-1", 50: "lab:moscow",
}

// loop and lan are the addresses of a place.
func loop(n, host int) string { return fmt.Sprintf("127.%d.0.%d", n, host) }
func lan(n, host int) string  { return fmt.Sprintf("10.66.%d.%d", n, host) }

func prefix(at place, n int) string {
	if at == loopback {
		return fmt.Sprintf("127.%d.0.0/16", n)
	}
	return fmt.Sprintf("10.66.%d.0/24", n)
}

func regionOf(addr string) string {
	var a, b, c, d int
	fmt.Sscanf(addr, "%d.%d.%d.%d", &a, &b, &c, &d)
	if a == 127 {
		return regions[b]
	}
	return regions[c]
}

// node is a running cordon with its doors.
type node struct {
	*process
	t     *testing.T
	w     *world
	dir   string
	bin   string // the program
	api   string
	sip   map[string]uint16 // port by transport
	token map[string]string
	http  *http.Client

	errors []string // parts of the log lines of level ERROR that the scenario causes
	gaps   int      // how often it kills the node, each of which the audit log tells as a gap
}

// signs makes a key with which a person signs, as id.key beside the configuration.
func (w *world) signs(t *testing.T, id string) {
	t.Helper()
	out, err := loopback.command(cordonBin, "gate", "key", "--out="+filepath.Join(w.dir, id+".key"), "--id="+id).Output()
	key := regexp.MustCompile(`keys: \[(.*)\]`).FindSubmatch(out)
	if err != nil || key == nil {
		t.Fatalf("gate key: %v: %s", err, out)
	}
	if w.keys == nil {
		w.keys = map[string]string{}
	}
	w.keys[id] = string(key[1])
}

// defaults of a world's parts.
func (w *world) complete() {
	if w.edge == "" {
		w.edge = loop(5, 10)
	}
	if w.allow == nil {
		w.allow = []string{"lab:carrier", "aws:eu-central-1", "aws:eu-central-2", "aws:eu-north-1"}
	}
	if w.gate == "" {
		w.gate = "{quorum: 2}"
	}
	if !strings.Contains(w.more, "media:") { // who is killed here takes its calls along
		w.more += "\nmedia: {inprocess: true}"
	}
	if w.health == "" {
		// Probes are patient: the machine that runs this may be busy, and a missed probe is not what is tested.
		w.health = "{interval: 1s, timeout: 900ms, fall: 3, rise: 2, hold_down: 1s}"
	}
	for _, list := range [][]party{w.trunks, w.groups} {
		for i := range list {
			if list[i].region == "" {
				list[i].region = regionOf(list[i].addr)
			}
			if list[i].media == "" {
				list[i].media = "{security: plain}"
			}
		}
	}
	if w.to == nil {
		for _, g := range w.groups {
			w.to = append(w.to, g.name)
		}
	}
}

func (w *world) write(n *node) string {
	type listener struct{ Transport, Address string }
	type where struct{ Prefix, Region string }
	type member struct {
		Name, Addr, Transport, Region, Media string
		Port                                 uint16
		More                                 []string
	}
	members := func(list []party) []member {
		var out []member
		for _, p := range list {
			m := member{Name: p.name, Addr: p.addr, Transport: p.transport, Region: p.region, Media: p.media, Port: p.port}
			for line := range strings.SplitSeq(strings.TrimSpace(p.more), "\n") {
				if line != "" {
					m.More = append(m.More, line)
				}
			}
			out = append(out, m)
		}
		return out
	}
	var listeners []listener
	for _, tr := range []string{"udp", "tcp", "tls"} {
		if port, ok := n.sip[tr]; ok {
			listeners = append(listeners, listener{tr, fmt.Sprintf("%s:%d", w.edge, port)})
		}
	}
	var places []where
	for _, k := range []int{1, 5, 10, 20, 30, 40, 50} {
		places = append(places, where{prefix(w.at, k), regions[k]})
	}
	quoted := make([]string, len(w.allow))
	for i, a := range w.allow {
		quoted[i] = fmt.Sprintf("%q", a)
	}
	tmpl := template.Must(template.New("cordon.yaml").Funcs(template.FuncMap{"join": func(l []string) string { return strings.Join(l, ", ") }}).Parse(configText))
	var text bytes.Buffer
	if err := tmpl.Execute(&text, map[string]any{
		"Allow": quoted, "Places": places, "Listeners": listeners, "Trunks": members(w.trunks), "Groups": members(w.groups), "To": w.to,
		"Health": w.health, "Gate": w.gate, "People": people, "API": n.api, "More": w.more, "Policy": w.policy, "Routes": w.routes, "ClientCA": w.clientCA, "Log": w.log, "Keys": w.keys,
	}); err != nil {
		n.t.Fatal(err)
	}
	file := filepath.Join(w.dir, "cordon.yaml")
	n.write(file, text.Bytes(), 0o644)
	return file
}

func (n *node) write(file string, data []byte, mode os.FileMode) {
	n.t.Helper()
	if err := os.WriteFile(file, data, mode); err != nil {
		n.t.Fatal(err)
	}
}

// boot writes the configuration, starts cordon with it and waits until it is ready and every target of these parties is up.
func boot(t *testing.T, w *world, up ...string) *node {
	t.Helper()
	w.complete()
	if w.dir == "" {
		w.dir = t.TempDir()
	}
	n := &node{t: t, w: w, dir: w.dir, bin: cordonBin, sip: map[string]uint16{}, token: map[string]string{}}
	for _, p := range slices.Concat(w.trunks, w.groups) {
		if _, ok := n.sip[p.transport]; !ok {
			if n.sip[p.transport] = w.ports[p.transport]; n.sip[p.transport] == 0 {
				n.sip[p.transport] = w.at.freePort(t, w.edge)
			}
		}
	}
	for _, tr := range w.also {
		n.sip[tr] = w.at.freePort(t, w.edge)
	}
	n.api = fmt.Sprintf("127.0.0.1:%d", w.at.freePort(t, "127.0.0.1"))
	for i, p := range people {
		n.token[p.ID] = fmt.Sprintf("%s-%d-%d", p.ID, os.Getpid(), i)
		n.write(filepath.Join(n.dir, p.ID+".token"), []byte(n.token[p.ID]+"\n"), 0o600)
	}
	file := w.write(n)
	n.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: w.at.dial, DisableKeepAlives: true}}
	n.run(file)
	for _, name := range up {
		n.waitFor(name, "up")
	}
	return n
}

// run starts cordon with a configuration and waits until it is ready.
func (n *node) run(file string) {
	n.t.Helper()
	n.process = start(n.t, n.w.at, n.dir, n.bin, "run", "-c", file, "--drain", "30s", "--level", "debug")
	until(n.t, "the node is ready", 20*time.Second, func() bool {
		if n.ended() {
			n.t.Fatalf("cordon ended: %v\n%s", n.err, n.output())
		}
		return n.ready()
	})
}

// ready asks the door of load balancers.
func (n *node) ready() bool {
	res, err := n.http.Get("http://" + n.api + "/readyz")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == 200
}

// get reads one resource of the HTTP interface.
func (n *node) get(path string, out any) {
	n.t.Helper()
	req, err := http.NewRequest("GET", "http://"+n.api+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.token["ops"])
	res, err := n.http.Do(req)
	if err != nil {
		n.t.Fatalf("%s: %v", path, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		n.t.Fatalf("%s: %d %v %s", path, res.StatusCode, err, data)
	}
	if err := json.Unmarshal(data, out); err != nil {
		n.t.Fatalf("%s: %v: %s", path, err, data)
	}
}

// state is the health of a party's first target.
func (n *node) state(party string) string {
	n.t.Helper()
	var v struct {
		Targets []struct{ Party, State string }
	}
	n.get("/api/v1/targets", &v)
	for _, t := range v.Targets {
		if t.Party == party {
			return t.State
		}
	}
	return ""
}

// waitFor waits until the targets of a party are in a state.
func (n *node) waitFor(party, state string) {
	n.t.Helper()
	until(n.t, party+" is "+state, 20*time.Second, func() bool { return n.state(party) == state })
}

// calls is the number of live calls.
func (n *node) calls() int {
	n.t.Helper()
	var v struct{ Calls []json.RawMessage }
	n.get("/api/v1/calls", &v)
	return len(v.Calls)
}

// receipts waits until the log holds at least this many receipts, and gives all of them in order.
func (n *node) receipts(want int) []audit.Receipt {
	n.t.Helper()
	var out []audit.Receipt
	next := uint64(0)
	until(n.t, fmt.Sprintf("%d receipts", want), 15*time.Second, func() bool {
		var page struct {
			Entries []audit.Entry
			Next    uint64
		}
		n.get(fmt.Sprintf("/api/v1/log/entries?kind=residency_receipt&max=1000&from=%d", next), &page)
		next = page.Next
		for _, e := range page.Entries {
			var r audit.Receipt
			if err := json.Unmarshal(e.Body, &r); err != nil {
				n.t.Fatal(err)
			}
			out = append(out, r)
		}
		return len(out) >= want
	})
	return out
}

// oneReceipt is for scenarios of a single call.
func (n *node) oneReceipt() audit.Receipt {
	n.t.Helper()
	list := n.receipts(1)
	if len(list) != 1 {
		n.t.Fatalf("%d receipts for one call: %+v", len(list), list)
	}
	return list[0]
}

// packets is what the receipt counted as received from one side.
func packets(r audit.Receipt, leg string) uint64 {
	for _, q := range r.Outcome.Quality {
		if q.Leg == leg {
			return q.Packets
		}
	}
	return 0
}

// cli runs one command of the binary as a user would and gives its output; who signs in with their token.
func (n *node) cli(who string, args ...string) (string, error) {
	n.t.Helper()
	cmd := n.w.at.command(cordonBin, args...)
	cmd.Dir = n.dir
	cmd.Env = append(os.Environ(), "CORDON_API=http://"+n.api, "CORDON_TOKEN="+n.token[who], "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// mustCLI is cli for commands that must work.
func (n *node) mustCLI(who string, args ...string) string {
	n.t.Helper()
	out, err := n.cli(who, args...)
	if err != nil {
		n.t.Fatalf("cordon %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// stop asks the node to end, as a service manager does, and verifies its log offline.
func (n *node) stop() {
	n.t.Helper()
	n.signal(syscall.SIGTERM)
	if code := n.wait(n.t, 45*time.Second); code != 0 {
		n.t.Fatalf("cordon ended with %d", code)
	}
	n.verify()
}

// verify checks the state folder that the node left.
func (n *node) verify() {
	n.t.Helper()
	out := n.mustCLI("ops", "verify", "state")
	if !strings.Contains(out, fmt.Sprintf("receipts, %d gaps", n.gaps)) {
		n.t.Errorf("verify: %s", out)
	}
	for line := range strings.Lines(n.output()) {
		caused := slices.ContainsFunc(n.errors, func(part string) bool { return strings.Contains(line, part) })
		if strings.Contains(line, "panic") || strings.Contains(line, `"level":"ERROR"`) && !caused {
			n.t.Errorf("the node logged: %s", line)
		}
	}
}

// dialSIP opens a plain socket from an address to a listener of the node, for scenarios that no SIP program would play.
func (n *node) dialSIP(transport, from string) net.Conn {
	n.t.Helper()
	var c net.Conn
	err := n.w.at.inside(func() error {
		d := net.Dialer{Timeout: 5 * time.Second}
		network := "tcp"
		if transport == "udp" {
			network = "udp"
			d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
		} else {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		var err error
		c, err = d.Dial(network, net.JoinHostPort(n.w.edge, fmt.Sprint(n.sip[transport])))
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

// pki makes a test authority and writes a certificate for each name: NAME.crt and NAME.key apart, NAME.pem both, roots.pem the root.
func (w *world) pki(t *testing.T, names ...string) {
	t.Helper()
	if w.dir == "" {
		w.dir = t.TempDir()
	}
	var err error
	if w.ca, err = carrier.NewCA(); err != nil {
		t.Fatal(err)
	}
	save := func(file string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(w.dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save("roots.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Root().Raw}))
	for _, name := range names {
		cert, err := w.ca.Issue(strings.Split(name, ",")...)
		if err != nil {
			t.Fatal(err)
		}
		short, _, _ := strings.Cut(name, ".")
		chain, key := pemOf(t, cert)
		save(short+".crt", chain)
		save(short+".key", key)
		save(short+".pem", append(slices.Clone(chain), key...))
	}
}

func pemOf(t *testing.T, cert tls.Certificate) (chain, key []byte) {
	t.Helper()
	for _, c := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	k, ok := cert.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("the test authority issues ECDSA keys")
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
