package cordon

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/gate"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
)

// buildSenses builds resolver and checker. The checker probes through the edge, which is built later: both meet in prober.
func (n *Node) buildSenses(ctx context.Context) error {
	c := n.opts.Config
	n.answers = newAnswerLog(n)
	var err error
	if n.places, err = newPlaceKeeper(n); err != nil {
		return err
	}
	if err = n.places.recall(ctx); err != nil {
		return err
	}
	n.resolver, err = resolve.New(resolve.Config{
		Servers: c.DNS.Servers, Timeout: c.DNS.Timeout, MinTTL: c.DNS.MinTTL, MaxTTL: c.DNS.MaxTTL, Judge: n.judge, Dial: n.dialDNS, Impaired: n.namesImpaired,
	})
	if err != nil {
		return err
	}
	if err = n.buildInventory(ctx); err != nil {
		return err
	}
	n.checker, err = healthcheck.New(healthcheck.Config{
		Watched: c.Watched, Defaults: c.Health, Prober: prober{n: n}, Caller: caller{n}, Locate: n.places.locate, Judge: n.judge,
		Moved: n.answers.moved, Measured: n.places.measured, Changed: n.healthChanged, Logger: n.logger.With("room", "healthcheck"), Metrics: n.opts.Metrics,
	})
	return err
}

// judge asks the snapshot in force. Unlike a Pass it opens nothing and counts as no refusal.
func (n *Node) judge(a sovereign.Ask) sovereign.Ruling {
	if a.At.IsZero() {
		a.At = time.Now()
	}
	return n.fence.Snapshot().Judge(a)
}

// prober lets a checker probe through the edge, which meets what a drill has taken away.
type prober struct {
	n   *Node
	own bool // for the drill: it meets what is gone for its own calls alone, too
}

func (p prober) Probe(ctx context.Context, t healthcheck.Target) (healthcheck.Sample, error) {
	if p.own {
		return p.n.edge.ProbeOwn(ctx, t)
	}
	return p.n.edge.Probe(ctx, t)
}

func locatedWords(list []resolve.Located) []string {
	out := make([]string, len(list))
	for i, l := range list {
		out[i] = fmt.Sprintf("%s %s %s", l.Addr, l.Ruling.Country, l.Ruling.Verdict)
	}
	return out
}

// healthChanged is told in order from one goroutine of the checker and may wait for the log.
func (n *Node) healthChanged(t healthcheck.Transition) {
	n.router.Transition(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ev := audit.HealthChanged{Target: t.Target.ID(), Party: t.Target.Party, From: t.From.String(), To: t.To.String(), Why: t.Why}
	if _, err := n.log.Append(ctx, ev); err != nil {
		n.logger.Error("a change of health could not be logged", "target", ev.Target, "to", ev.To, "error", err)
	}
}

// buildJudgement builds the gate and the router.
func (n *Node) buildJudgement(context.Context) error {
	c := n.opts.Config
	var err error
	n.gate, err = gate.New(gate.Config{
		Rules: c.Gate, People: people(c), Catalogue: c.Bases, Log: n.log, KV: n.kv, Node: c.File.Node.Name, Pseudonym: n.names.Person,
		Changed: n.policy.grantsChanged, Adopt: n.changeApproved, Logger: n.logger.With("room", "approval"),
	})
	if err != nil {
		return err
	}
	if err := n.buildDesk(); err != nil {
		return err
	}
	n.router, err = routing.New(routing.Config{
		Desk: n.desk, Released: n.released, Rules: c.Rules, Table: n.checker.Table, Snapshot: n.fence.Snapshot, Gate: n.gate, Log: n.log,
		Capacity: n.roomFor, Logger: n.logger.With("room", "routing"), Metrics: n.opts.Metrics,
	})
	return err
}

func people(c *configs.Config) []approval.Person {
	out := make([]approval.Person, len(c.People))
	for i, p := range c.People {
		out[i] = p.Person
	}
	return out
}

// buildDoors builds the relay, the edge, the notices and the HTTP interface.
func (n *Node) buildDoors(ctx context.Context) error {
	c := n.opts.Config
	var err error
	if err = n.meterMedia(); err != nil {
		return err
	}
	n.relay, err = media.New(media.Config{
		Plane: n.apart(ctx, c), Workers: workers(c), Tick: c.Media.Tick, Listen: n.listenMedia, Fence: n.fence, Weigh: n.places.named, Reached: n.places.reached, Bind: c.Media.Address, Ports: c.Media.Ports, Sockets: n.mediaSockets(), Calls: c.Limits.MaxCalls, Reports: c.Media.Reports,
		Moved:   func(session string, m media.Move) { n.edge.MediaMoved(session, m) },
		Played:  func(session string, p media.Played) { n.edge.MediaPlayed(session, p) },
		Pressed: func(session string, d media.Digit) { n.edge.MediaPressed(session, d) }, Digits: c.Media.Digits,
		Impaired: n.mediaImpaired,
		Heard:    func(session string, m media.Liveness) { n.edge.MediaHeard(session, m) },
		Unkeyed:  func(session string, u media.Unkeyed) { n.edge.MediaUnkeyed(session, u) }, Limits: c.Media.Limits, Logger: n.logger.With("room", "media"), Metrics: n.opts.Metrics,
	})
	if err != nil {
		return err
	}
	if err = n.openCalls(c); err != nil {
		return err
	}
	n.relay.Stock(announcements(c))
	n.views = &views{n: n}
	n.edge, err = sip.New(sip.Config{
		Listeners: n.sipListeners(), Dial: n.streams(c), Scanners: c.Guard.Scanners,
		Fence: n.fence, Table: n.checker.Table, Bind: n.views.bound, Enrolled: n.views.enrolled,
		Parties: n.profiles(c), Planner: n.views, AsksForHelp: n.router.AsksForHelp, Outcome: n.views.outcome, Try: n.views.try, Left: n.views.left, Spend: n.gate.Spend, Refund: n.gate.Refund,
		Relay: n.relay, Log: n.log, Intents: n.intents, Names: n.names, OnLogFailure: c.Log.OnLogFailure, Stranger: c.Limits.Stranger,
		MaxCalls: c.Limits.MaxCalls, RatePerSource: c.Limits.RatePerSource, Logger: n.logger.With("room", "sip"), Metrics: n.opts.Metrics, Tap: n.tap,
		Endpoint: n.endpoint, RTTMin: n.rttMin, Evidence: n.places.proven, MediaEvidence: n.places.mediaProofs, Trace: n.book, Outlive: n.outlives(), Announcements: c.Announcements,
		Incident: func(r *audit.Receipt) string { return n.incidents.Of(r) }, Impaired: n.board, Carried: n.carried,
	})
	if err != nil {
		return err
	}
	if n.outlook, err = newOutlook(n); err != nil {
		return err
	}
	if n.reviews, err = newReviews(n); err != nil {
		return err
	}
	n.drills = newDrills(n)
	if err := n.buildNotify(c); err != nil {
		return err
	}
	if err := n.buildSpans(c); err != nil {
		return err
	}
	if err := n.buildWitnesses(c); err != nil {
		return err
	}
	if err := n.buildIncidents(c); err != nil {
		return err
	}
	if err := n.buildCopier(c); err != nil {
		return err
	}
	return n.buildAPI(c)
}

// announcements are those of all routes.
func announcements(c *configs.Config) (all []*media.Announcement) {
	for _, a := range c.Announcements {
		all = append(all, a.Announcement)
	}
	return all
}

// streams are the way out and the bounds of connections.
func (n *Node) streams(c *configs.Config) transport.Config {
	g := c.Guard
	return transport.Config{
		Dial: n.opts.Net.DialTCP, Connect: c.Limits.Connect.Or(time.Second), MaxConns: g.ConnsPerSource, MaxTotal: maxConns(c), MaxBuffered: g.Buffered,
		First: time.Duration(g.First), Every: time.Duration(g.Every), Seen: n.certs.seen,
	}
}

// rttMin bounds how far away a target can be.
func (n *Node) rttMin(target string) time.Duration {
	st, _ := n.checker.Table().Status(target)
	return st.RTTMin
}

// endpoint opens the media of a synthetic caller, behind the same fence as every call.
func (n *Node) endpoint(l media.Leg, t media.Tone) (*media.Endpoint, error) {
	c := n.cfg.Load()
	return n.relay.Endpoint(media.Config{Listen: n.listenTone, Fence: n.fence, Weigh: n.places.named, Reached: n.places.reached, Bind: c.Media.Address, Logger: n.logger.With("room", "media")}, l, t)
}

// profiles fills in what belongs to the node and not to the file: the media address that is advertised.
func (n *Node) profiles(c *configs.Config) []sip.Party {
	out := append([]sip.Party(nil), c.Profiles...)
	for i := range out {
		if l := &out[i].Leg; !l.Bind.IsValid() {
			l.Bind = c.Media.Address
			if !l.Advertise.IsValid() {
				l.Advertise = c.Media.Advertise
			}
		}
		n.certs.lend(c, &out[i])
	}
	return out
}

func (n *Node) buildNotify(c *configs.Config) error {
	channels, err := n.channels(c)
	if err != nil {
		return err
	}
	n.notifier, err = notify.New(notify.Config{
		Log: n.log, KV: n.kv, Channels: channels, Told: n.gate.Notified, Impaired: n.board.Channel, Logger: n.logger.With("room", "notify"), Metrics: n.opts.Metrics,
		Delivered: n.delivered, Tenant: c.File.Tenant.OrgID, Node: c.File.Node.Name,
	})
	return err
}

// channels builds the notification channels; each but the console dials through the fence.
func (n *Node) channels(c *configs.Config) ([]notify.Routed, error) {
	var out []notify.Routed
	for _, p := range c.Channels {
		ch, err := n.channel(p)
		if err != nil {
			return nil, err
		}
		kinds := p.Kinds
		if len(kinds) > 0 && slices.Contains(c.Drills.Channels, p.Name) {
			kinds = append(slices.Clip(kinds), "drill.*")
		}
		out = append(out, notify.Routed{Channel: ch, Kinds: kinds, Rate: notify.Rate{Burst: p.Burst, Every: p.Every}})
	}
	return out, nil
}

func (n *Node) buildAPI(c *configs.Config) error {
	if c.API.Off {
		return nil
	}
	l, err := n.opts.Net.ListenTCP(c.API.Address)
	if err != nil {
		return fmt.Errorf("listen api %s: %w", c.API.Address, err)
	}
	cfg := admin.Config{
		Listener: l, OrgID: c.File.Tenant.OrgID, Node: c.File.Node.Name, Software: n.opts.Software, Started: time.Now(),
		Credentials: n.credentials, Gate: n.gate, Router: n.router, Operators: operators{n}, Severs: severs{n}, Outlets: outlets{n}, Incidents: incidents{n.incidents, n}, Table: n.checker.Table, Snapshot: n.fence.Snapshot, Log: n.log,
		Calls: n.callViews, Registrations: n.registrationViews, Draining: n.edge.Draining, Place: n.place, Reload: n.ReloadFile, Request: n.request, LastTest: n.lastTest, Forget: n.archive.forget, Archive: n.archive,
		Certificates: n.certs.register.List, Places: n.places.views, Inventory: n.inventory.views, Sights: n.places.statement, Gatherer: n.opts.Metrics, Metrics: n.opts.Metrics, Logger: n.logger.With("room", "admin"),
		LogMayFail: func() bool { return n.cfg.Load().Log.OnLogFailure == "continue_with_gap" }, People: n.peopleByPseudonym,
	}
	cfg.Readiness, cfg.Law = n.outlook.readiness, asker{n}
	cfg.Reviews, cfg.Drills, cfg.LastDrills = n.reviews, n.drills, n.drills.Last
	cfg.RotateKey = n.rotateKey
	cfg.Charters = n.charters
	if n.book != nil {
		cfg.Tracer = tracer{n}
	}
	if n.copier != nil {
		cfg.Unready = n.copier.Proved
	}
	if c.API.Cert != nil {
		cfg.Cert = n.certs.of("api")
	}
	n.api, err = admin.New(cfg)
	if err != nil {
		l.Close()
	}
	return err
}

// lastTest is the end of the last full drill that ran to its end.
func (n *Node) lastTest() (time.Time, bool) {
	t := n.drills.Last().Full
	if t == nil {
		return time.Time{}, false
	}
	return t.End, true
}

func (n *Node) credentials() []admin.Credential {
	list := n.cfg.Load().People
	out := make([]admin.Credential, len(list))
	for i, p := range list {
		out[i] = admin.Credential{Identity: admin.Identity{Person: p.ID, Roles: p.Roles, Scopes: p.Scopes}, Token: p.Token, Expires: p.Expires}
	}
	return out
}

// peopleByPseudonym lets the door name people to people; the log and the notices never do.
func (n *Node) peopleByPseudonym() map[string]string {
	out := map[string]string{}
	for _, p := range n.cfg.Load().People {
		out[n.names.Person(p.ID)] = p.ID
	}
	return out
}

func (n *Node) callViews() []admin.Call {
	calls := n.edge.Calls()
	out := make([]admin.Call, len(calls))
	for i, c := range calls {
		out[i] = admin.Call{Ref: c.Ref, Trunk: c.Trunk, Group: c.Group, State: c.State, Purpose: c.Purpose, Since: c.Since, Path: c.Path}
	}
	return out
}

func (n *Node) registrationViews() []admin.Registration {
	list := n.edge.Registrations()
	out := make([]admin.Registration, len(list))
	for i, r := range list {
		out[i] = admin.Registration{Party: r.Party, Target: r.Target, State: r.State, Since: r.Since, Why: r.Why}
		if !r.Until.IsZero() {
			out[i].Until = &r.Until
		}
	}
	return out
}

// place makes a synthetic call for an operator.
func (n *Node) place(ctx context.Context, t admin.TestCall, by string) (admin.TestResult, error) {
	n.logger.Info("synthetic call", "by", n.names.Person(by), "from", t.From)
	r, err := n.edge.Place(ctx, sip.Synthetic{
		From: t.From, Called: t.Called, Purpose: sovereign.SyntheticProbe, Hold: time.Duration(t.HoldSeconds * float64(time.Second)),
	})
	if err != nil {
		return admin.TestResult{}, err
	}
	far := r.Report.Sides[media.B]
	return admin.TestResult{
		CallRef: r.CallRef, Status: r.Status, Hops: r.Hops, SetupMS: float64(r.Setup) / float64(time.Millisecond),
		Packets: far.RxPackets, Lost: far.Lost, JitterMS: float64(far.Jitter) / float64(time.Millisecond), MOS: far.MOS,
	}, nil
}

// ReloadFile reads the configuration file again and puts it in force, or says why not and changes nothing.
func (n *Node) ReloadFile(ctx context.Context, by string) error {
	return n.alone(ctx, func() error {
		cfg, err := configs.Load(n.cfg.Load().Name)
		if err != nil {
			n.reloadRefused(ctx, n.pseudonym(by), err)
			return err
		}
		return n.reload(ctx, cfg, by)
	})
}

// Reload puts trunks, groups, policy, people, keys and certificates of cfg in force without touching a call, once the log has it. What only a restart can change
// refuses the whole reload, so that what the log says is in force is in force.
func (n *Node) Reload(ctx context.Context, cfg *configs.Config, by string) error {
	return n.alone(ctx, func() error { return n.reload(ctx, cfg, by) })
}

// alone lets one reload be over before the next begins: what is in force is of one file.
func (n *Node) alone(ctx context.Context, f func() error) error {
	select {
	case n.reloading <- struct{}{}:
		defer func() { <-n.reloading }()
		return f()
	case <-ctx.Done():
		return fmt.Errorf("cordon: reload: another one is under way: %w", ctx.Err())
	}
}

func (n *Node) reload(ctx context.Context, cfg *configs.Config, by string) error {
	person := by
	by = n.pseudonym(by)
	w, err := n.admissible(cfg)
	var look struck
	if err == nil {
		look, err = n.policy.reload(ctx, w, by, n.applyParts)
	}
	if err != nil {
		n.reloadRefused(ctx, by, err)
		return err
	}
	n.taken(ctx, w, person)
	n.policy.reloaded(ctx, look)
	if w.held {
		if err := n.askForPolicy(ctx, ruleOr(person)); err != nil {
			n.logger.Error("people cannot be asked about the wider policy yet", "error", err)
		}
	}
	return nil
}

// admissible refuses what only a restart can change and what is not fit to run, and weighs the rest.
func (n *Node) admissible(cfg *configs.Config) (*weighed, error) {
	if err := errors.Join(n.fixed(n.filed.Load(), cfg), cfg.DistinctTokens()); err != nil {
		return nil, err
	}
	w, err := n.charters.weigh(cfg)
	if err == nil {
		err = n.fixed(n.cfg.Load(), w.run)
	}
	if err == nil {
		err = n.certs.judge(w.run)
	}
	return w, err
}

// pseudonym is the word for a person that the log may carry; nobody stays nobody (a signal, say).
func (n *Node) pseudonym(person string) string {
	if person == "" {
		return ""
	}
	return n.names.Person(person)
}

// fixed refuses what cannot change while we run.
func (n *Node) fixed(old, cfg *configs.Config) error {
	for what, same := range map[string]bool{
		"tenant":              old.File.Tenant == cfg.File.Tenant,
		"node":                old.File.Node.Name == cfg.File.Node.Name && old.StateDir == cfg.StateDir,
		"media":               old.Media == cfg.Media,
		"dns":                 reflect.DeepEqual(old.DNS, cfg.DNS),
		"limits":              old.Limits == cfg.Limits,
		"guard":               reflect.DeepEqual(old.Guard, cfg.Guard),
		"log":                 old.Log == cfg.Log,
		"log.witnesses":       sameWitnesses(old.File.Log, cfg.File.Log),
		"log.worm":            reflect.DeepEqual(old.File.Log.WORM, cfg.File.Log.WORM),
		"trace":               old.Trace == cfg.Trace,
		"hep":                 reflect.DeepEqual(old.File.HEP, cfg.File.HEP),
		"restart":             n.calls != nil || !cfg.Restart.Must,
		"spans":               (old.File.Spans == nil) == (cfg.File.Spans == nil),
		"api.address":         old.API.Off == cfg.API.Off && old.API.Address == cfg.API.Address,
		"api.cert_file":       (old.API.Cert == nil) == (cfg.API.Cert == nil),
		"number of listeners": len(old.Listeners) == len(cfg.Listeners),
	} {
		if !same {
			return fmt.Errorf("cordon: reload: %s changed, and only a restart can change that: nothing of the file was taken", what)
		}
	}
	for i := range old.Listeners {
		a, b := old.Listeners[i], cfg.Listeners[i]
		if a.Transport != b.Transport || a.Address != b.Address || a.Advertise != b.Advertise || (a.ClientCAs == nil) != (b.ClientCAs == nil) {
			return fmt.Errorf("cordon: reload: listeners[%d] (%s %s) changed more than its certificates, and only a restart can change that", i, a.Transport, a.Address)
		}
	}
	return nil
}

// applyParts hands each room its part of c.
func (n *Node) applyParts(c *configs.Config) error {
	channels, err := n.channels(c)
	n.ruling.Lock()
	defer n.ruling.Unlock()
	n.views.changed()
	n.relay.Stock(announcements(c)) // before anybody names one
	n.edge.Announce(c.Announcements)
	n.incidents.Reload(c.Incidents)
	n.inventory.Reload(c.Inventory.Entries)
	return errors.Join(err, n.router.Reload(c.Rules), n.gate.Reload(c.Gate, people(c), c.Bases), n.checker.Reload(c.Watched, c.Health),
		n.edge.Reload(n.profiles(c)), n.notifier.Reload(channels), n.aimSpans(c))
}

func (n *Node) reloadRefused(ctx context.Context, by string, err error) {
	n.logger.Error("the new configuration was refused; the old one stays in force", "error", err)
	ev := audit.ReloadRefused{By: by, Errors: []string{err.Error()}}
	if _, lerr := n.log.Append(context.WithoutCancel(ctx), ev); lerr != nil {
		n.logger.Error("the refusal could not be logged", "error", lerr)
	}
}
