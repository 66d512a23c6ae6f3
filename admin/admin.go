// Package admin is the HTTP door: health and metrics, the status document, the gate for people with tokens, and read access to the log.
//
// Every request but /healthz and /readyz needs a bearer token; rights are scopes (org.read, logs.view, api.healthcheck, calls.trace) and the roles of the person. Errors are
// problem documents (RFC 9457). It imports approval, audit, healthcheck, routing and sovereign, and of foreign modules promhttp.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/certs"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Identity is who sends a request.
type Identity struct {
	Person string
	Roles  []string
	Scopes []string
}

// Credential is one valid token; Token reads the secret at each call, so a rotated file counts at once.
type Credential struct {
	Identity
	Token   func() (string, error)
	Expires time.Time // zero: never
}

// Gate is what the door needs of approval.
type Gate interface {
	Tickets() []approval.Ticket
	Ticket(id string) (approval.Ticket, bool)
	Grants() []approval.Grant
	Left(grant string) int
	Owed() (due, late int)
	Decide(ctx context.Context, ticket, person, role string, approve bool, reason, planHash, auth string) (approval.Ticket, error)
	Opine(ctx context.Context, ticket, person string, w approval.OpinionWord, text string, met bool) (approval.Ticket, error)
	Activate(ctx context.Context, ticket, person string) (approval.Ticket, error)
	BreakGlass(ctx context.Context, ticket, person, role, reason, planHash, auth string) (approval.Ticket, error)
	Review(ctx context.Context, ticket, person string, v approval.PostReview) (approval.Ticket, error)
	Withdraw(ctx context.Context, ticket, person, why string) (approval.Ticket, error)
	Revoke(ctx context.Context, ticket, person, why string) (approval.Ticket, error)
	Submit(ctx context.Context, file []byte, by string) (keyring.Submitted, error)
	Keys() []keyring.Standing
	RevokeKey(ctx context.Context, id, person, why string) (keyring.Key, error)
}

// Router is what the door needs of routing.
type Router interface {
	Explain(routing.Request) routing.Plan // counts as no plan
	Status() []routing.ActiveRoute
}

// Call is one live call as people may see it: references, no numbers.
type Call struct {
	Ref     string    `json:"call_ref"`
	Trunk   string    `json:"trunk"`
	Group   string    `json:"edge_group"`
	State   string    `json:"state"`
	Purpose string    `json:"purpose"`
	Since   time.Time `json:"since"`
	Path    []string  `json:"path"`
}

// TestCall is a synthetic call that an operator asks for.
type TestCall struct {
	From        string  `json:"from"`
	Called      string  `json:"called"`
	HoldSeconds float64 `json:"hold_seconds"`
}

// TestResult is what came of it.
type TestResult struct {
	CallRef  string   `json:"call_ref"`
	Status   int      `json:"sip_status"`
	Hops     []string `json:"hops"`
	SetupMS  float64  `json:"setup_ms"`
	Packets  uint64   `json:"packets"`
	Lost     int64    `json:"lost"`
	JitterMS float64  `json:"jitter_ms"`
	MOS      float64  `json:"mos"`
}

// Config of a Server. Functions must be set unless they say otherwise.
type Config struct {
	Listener    net.Listener
	Cert        func() *tls.Certificate // nil: plain HTTP, for loopback alone
	OrgID       string
	Node        string
	Software    string
	Started     time.Time
	Credentials func() []Credential
	Gate        Gate
	Router      Router
	Operators   Operators // nil: nobody can change what is in service
	Severs      Severs    // nil: nobody can sever
	Law         LawAsker  // nil: nobody can ask what a suspension would do
	Tracer      Tracer    // nil: no call is remembered
	Outlets     Outlets   // nil: nobody is told of anything
	Incidents   Incidents // nil: there is no book of incidents
	Reviews     Reviews   // nil: nobody keeps reviews
	Drills      Drills    // nil: nobody keeps drills
	Table       func() *healthcheck.Table
	Snapshot    func() *sovereign.Snapshot
	Log         audit.Log
	Calls       func() []Call
	// Registrations are those that the node keeps with others; nil: none.
	Registrations func() []Registration
	Draining      func() bool
	Place         func(ctx context.Context, c TestCall, by string) (TestResult, error)
	// Charters keeps the policy that people accepted; nil: nobody does.
	Charters Charters
	Reload   func(ctx context.Context, by string) error
	// Request asks the gate for a grant in a person's name; nil: nobody can.
	Request func(ctx context.Context, q GrantRequest, by string) (approval.Ticket, error)
	// Readiness looks ahead; nil: nobody does.
	Readiness  func() Readiness
	LastTest   func() (time.Time, bool) // end of the last full drill that ran to its end
	LastDrills func() DrillTests        // nil: nobody keeps drills
	// Forget destroys the salt of a call or the directory entry of a person, after the log has it.
	Forget func(ctx context.Context, f Forget, by string) error
	// Archive keeps legal holds and the classes of retention; nil: nobody can ask.
	Archive Archive
	// RotateKey hands the log over to a new key; nil: nobody can.
	RotateKey func(ctx context.Context, k KeyRotation, by string) (KeyRotated, error)
	Groups    func() []string // edge groups
	// Certificates lists the register; nil: there is none.
	Certificates func() []certs.Certificate
	// Places lists what is known of where addresses are; nil: nothing.
	Places func() []Place
	// Inventory lists the endpoints outside the call path; nil: there is none.
	Inventory func() []Endpoint
	// Sights are the fastest round trips that this node measured; nil: none.
	Sights   func() evidence.Statement
	Gatherer prometheus.Gatherer
	Logger   *slog.Logger
	// LogMayFail says whether calls go on while the log cannot be written (on_log_failure: continue_with_gap); nil means they do not.
	LogMayFail func() bool
	Unready    func() string // why the node should get no calls; empty: nothing is wrong
	// People gives the ids of people by the pseudonyms that tickets carry; nil names nobody. Only holders of org.read are told.
	People func() map[string]string
	// Metrics takes the gauges of the gate; nil means none.
	Metrics prometheus.Registerer
}

// Server is the HTTP door.
type Server struct {
	c       Config
	http    *http.Server
	guesses guesses
	recent  recent

	readings readings
}

// Times of the HTTP server. An answer may take as long as a test call.
const (
	placeIn = 50 * time.Second
	writeIn = time.Minute
)

// New builds the server on a bound listener and starts nothing.
func New(c Config) (*Server, error) {
	if c.Listener == nil || c.Credentials == nil || c.Gate == nil || c.Router == nil || c.Log == nil {
		return nil, errors.New("admin: a listener, credentials, a gate, a router and a log are required")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{c: c}
	if err := s.register(c.Metrics); err != nil {
		return nil, fmt.Errorf("admin: register metrics: %w", err)
	}
	s.http = &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: writeIn, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
	if c.Cert != nil {
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert := c.Cert(); cert != nil {
				return cert, nil
			}
			return nil, errors.New("admin: no certificate")
		}}
	}
	return s, nil
}

// register makes the gauges of the gate: it is read when somebody asks, so nothing has to follow it.
func (s *Server) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	tickets := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cordon_approval_open_tickets", Help: "Tickets that have not ended; live grants are among them."},
		func() float64 { return float64(len(s.openTickets())) })
	grants := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cordon_approval_grants", Help: "Grants that are live now."},
		func() float64 { return float64(len(s.c.Gate.Grants())) })
	owed := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cordon_approval_reviews_owed", Help: "Grants that are over and that nobody has reviewed yet."},
		func() float64 { due, _ := s.c.Gate.Owed(); return float64(due) })
	late := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cordon_approval_reviews_late", Help: "Those of them whose review was due before now."},
		func() float64 { _, late := s.c.Gate.Owed(); return float64(late) })
	for _, g := range []prometheus.Collector{tickets, owed, late} {
		if err := r.Register(g); err != nil {
			return err
		}
	}
	return r.Register(grants)
}

// Addr is the address of the listener.
func (s *Server) Addr() netip.AddrPort {
	ap, err := netip.ParseAddrPort(s.c.Listener.Addr().String())
	if err != nil {
		return netip.AddrPort{}
	}
	return ap
}

// Close closes the listener of a server that never ran.
func (s *Server) Close() { s.c.Listener.Close() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		if s.http.TLSConfig != nil {
			done <- s.http.ServeTLS(s.c.Listener, "", "")
		} else {
			done <- s.http.Serve(s.c.Listener)
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := s.http.Shutdown(stop); err != nil {
		s.http.Close()
	}
	<-done
	return nil
}

// route is one door: who may pass and what is behind it.
type route struct {
	pattern string
	scope   string   // "" : any valid token; "-" : nobody is asked
	roles   []string // one of them is needed, besides the scope
	serve   func(w http.ResponseWriter, r *http.Request, id Identity) error
}

// Routes lists every pattern, for the test that holds the OpenAPI file against it.
func (s *Server) Routes() []string {
	var out []string
	for _, r := range s.routes() {
		out = append(out, r.pattern)
	}
	return out
}

// deciders are the roles in which a person may approve or deny.
func deciders() []string {
	return []string{"incident_commander", "business_owner", "ciso", "crisis_manager", "management_body_delegate"}
}

func (s *Server) routes() []route {
	people := deciders()
	return append([]route{
		{"GET /healthz", "-", nil, s.healthz},
		{"GET /readyz", "-", nil, s.readyz},
		{"GET /metrics", "api.healthcheck", nil, s.metrics},
		{"GET /api/v2/orgs/{orgId}/healthcheck/status", "api.healthcheck", nil, s.status},
		{"GET /api/v1/status", "org.read", nil, s.overview},
		{"GET /api/v1/targets", "org.read", nil, s.targets},
		{"GET /api/v1/routes", "org.read", nil, s.activeRoutes},
		{"GET /api/v1/policy", "org.read", nil, s.policy},
		{"GET /api/v1/law/what-if", "org.read", nil, s.whatIf},
		{"GET /api/v1/policy/accepted", "org.read", nil, s.accepted},
		{"GET /api/v1/policy/pending", "org.read", nil, s.pending},
		{"POST /api/v1/policy/compare", "org.read", nil, s.comparePolicy},
		{"POST /api/v1/plan", "org.read", nil, s.plan},
		{"POST /api/v1/plans", "org.read", nil, s.plans},
		{"GET /api/v1/service", "org.read", nil, s.services},
		{"POST /api/v1/service", "", []string{"operator"}, s.setService},
		{"POST /api/v1/sever", "", []string{"operator", "incident_commander", "ciso"}, s.sever},
		{"POST /api/v1/switch", "", []string{"operator"}, s.switchRoutes},
		{"POST /api/v1/failback", "", []string{"operator"}, s.failback},
		{"POST /api/v1/migrations", "", []string{"operator"}, s.migrate},
		{"GET /api/v1/calls", "org.read", nil, s.calls},
		{"GET /api/v1/calls/{ref}/trace", "calls.trace", nil, s.trace},
		{"GET /api/v1/certificates", "org.read", nil, s.certificates},
		{"GET /api/v1/evidence", "org.read", nil, s.evidenceList},
		{"GET /api/v1/evidence/sights", "org.read", nil, s.sights},
		{"GET /api/v1/inventory", "org.read", nil, s.inventoryList},
		{"GET /api/v1/inventory/{name}", "org.read", nil, s.inventoryEntry},
		{"POST /api/v1/calls", "", []string{"operator"}, s.place},
		{"POST /api/v1/reload", "", []string{"operator"}, s.reload},
		{"GET /api/v1/tickets", "org.read", nil, s.tickets},
		{"POST /api/v1/tickets", "", append([]string{"operator"}, people...), s.request},
		{"GET /api/v1/tickets/{id}", "org.read", nil, s.ticket},
		{"POST /api/v1/tickets/{id}/decisions", "", append([]string{"dpo"}, people...), s.decide},           // the gate takes a decision of the dpo only where the policy says so
		{"POST /api/v1/tickets/{id}/opinions", "", append([]string{"dpo", "operator"}, people...), s.opine}, // the gate takes an opinion of the dpo alone, and "not reached" of anybody
		{"POST /api/v1/tickets/{id}/break-glass", "", people, s.breakGlass},
		{"POST /api/v1/tickets/{id}/review", "", append([]string{approval.RoleAuditor}, people...), s.review},
		{"POST /api/v1/tickets/{id}/activate", "", append([]string{"operator"}, people...), s.activate},
		{"POST /api/v1/tickets/{id}/withdraw", "", append([]string{"operator"}, people...), s.withdraw},
		{"POST /api/v1/tickets/{id}/revoke", "", append([]string{"operator", "dpo"}, people...), s.revoke},
		{"POST /api/v1/signed", "", append([]string{"operator", "dpo"}, people...), s.submit},
		{"GET /api/v1/keys", "org.read", nil, s.keys},
		{"POST /api/v1/keys/{id}/revoke", "", append([]string{"operator", "dpo"}, people...), s.revokeKey}, // the gate asks whether it is the person's own, or the role approves
		{"GET /api/v1/notify", "org.read", nil, s.outlets},
		{"POST /api/v1/notify/test", "", []string{"operator"}, s.testOutlets},
		{"POST /api/v1/notify/resend", "", []string{"operator"}, s.resend},
		{"POST /api/v1/forget", "", []string{"dpo"}, s.forget},
		{"GET /api/v1/holds", "logs.view", nil, s.holds},
		{"POST /api/v1/holds", "", append([]string{"dpo", "operator"}, people...), s.placeHold},
		{"POST /api/v1/holds/{id}/lift", "", append([]string{"dpo", "operator"}, people...), s.liftHold},
		{"GET /api/v1/retention", "logs.view", nil, s.retention},
		{"POST /api/v1/retention/run", "", []string{"dpo"}, s.retention},
		{"POST /api/v1/log/rotate-key", "", []string{"operator"}, s.rotateKey},
		{"GET /api/v1/log/keys", "logs.view", nil, s.logKeys},
		{"GET /api/v1/gate/readiness", "org.read", nil, s.readiness},
		{"GET /api/v1/grants", "org.read", nil, s.grants},
		{"GET /api/v1/log/entries", "logs.view", nil, s.entries},
		{"GET /api/v1/log/checkpoint", "logs.view", nil, s.checkpoint},
		{"GET /api/v1/log/proof/{seq}", "logs.view", nil, s.proof},
		{"GET /api/v1/log/consistency", "logs.view", nil, s.consistency},
	}, slices.Concat(s.incidentRoutes(), s.reviewRoutes(), s.drillRoutes())...)
}

// Handler is the whole door as one handler.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.pattern, s.guard(r))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if methods := allowed(mux, r); len(methods) > 0 {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			writeProblem(w, &Problem{Status: http.StatusMethodNotAllowed, Title: "not with this method", Detail: "this resource takes " + strings.Join(methods, ", ")})
			return
		}
		writeProblem(w, &Problem{Status: http.StatusNotFound, Title: "no such resource", Detail: "see the OpenAPI file for what there is"})
	})
	return http.MaxBytesHandler(mux, 1<<20)
}

// allowed are the methods by which a path can be asked; none when there is no such path.
func allowed(mux *http.ServeMux, r *http.Request) []string {
	var out []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		other := *r
		other.Method = m
		if _, pattern := mux.Handler(&other); strings.Contains(pattern, " ") { // the pattern of everything has no method
			out = append(out, m)
		}
	}
	return out
}

func (s *Server) guard(r route) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		var id Identity
		if r.scope != "-" {
			who, p := s.admit(w, req)
			if p == nil && !r.admits(who) {
				p = &Problem{Status: http.StatusForbidden, Title: "the token does not carry the right", Detail: r.needs()}
			}
			if p != nil {
				writeProblem(w, p)
				return
			}
			id = who
		}
		if err := r.serve(w, req, id); err != nil {
			writeProblem(w, s.asProblem(r.pattern, err))
		}
	}
}

// admit finds out who asks, or what to answer instead. Too many wrong tokens from one place and no new one is looked at for a while.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (Identity, *Problem) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if ok && token != "" {
		from, sum := source(r.RemoteAddr), sha256.Sum256([]byte(token))
		if !s.guesses.may(from, sum) {
			w.Header().Set("Retry-After", "1")
			return Identity{}, &Problem{Status: http.StatusTooManyRequests, Title: "too many wrong tokens came from this address", Hint: "wait some seconds"}
		}
		if id, ok := s.identify(sum); ok {
			s.guesses.right(from, sum)
			return id, nil
		}
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="cordon"`)
	return Identity{}, &Problem{Status: http.StatusUnauthorized, Title: "a valid bearer token is needed"}
}

func (r route) admits(id Identity) bool {
	if r.scope != "" && !slices.Contains(id.Scopes, r.scope) {
		return false
	}
	return len(r.roles) == 0 || slices.ContainsFunc(r.roles, func(role string) bool { return slices.Contains(id.Roles, role) })
}

func (r route) needs() string {
	if len(r.roles) > 0 {
		return "needs one of the roles " + strings.Join(r.roles, ", ")
	}
	return "needs the scope " + r.scope
}

// identify compares hashes in constant time and goes through all credentials, so that time tells nothing. A token that two people have since a file of theirs changed
// says of neither who asks: it admits nobody.
func (s *Server) identify(got [sha256.Size]byte) (Identity, bool) {
	var found Identity
	hits := 0
	for _, c := range s.c.Credentials() {
		want, err := c.Token()
		if err != nil || want == "" || (!c.Expires.IsZero() && time.Now().After(c.Expires)) {
			continue
		}
		sum := sha256.Sum256([]byte(want))
		if subtle.ConstantTimeCompare(got[:], sum[:]) == 1 {
			found = c.Identity
			hits++
		}
	}
	if hits > 1 {
		s.c.Logger.Error("a token is that of more than one person and admits nobody: give everybody one of their own; a reload names the places", "people", hits)
		return Identity{}, false
	}
	return found, hits == 1
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request, _ Identity) error {
	promhttp.HandlerFor(s.c.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, r)
	return nil
}
