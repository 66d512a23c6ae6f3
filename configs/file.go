package configs

// File is the configuration as it is written. Field comments become the descriptions of the JSON schema.
type File struct {
	// Who we are: it stands in every log entry.
	Tenant Tenant `yaml:"tenant"`
	// This node.
	Node Node `yaml:"node"`
	// What the operator permits.
	Policy Policy `yaml:"policy"`
	// What becomes of running calls when the law changes.
	Law Law `yaml:"law,omitempty"`
	// Regions of your own: data centres and carrier sites that no public catalogue lists.
	Regions []Region `yaml:"regions,omitempty"`
	// Address prefixes, declared by contract. An address outside all of them is refused.
	Places []Place `yaml:"places"`
	// What else speaks for or against those places.
	Evidence *Evidence `yaml:"evidence,omitempty"`
	// Local SIP sockets.
	Listeners []Listener `yaml:"listeners"`
	// Media sockets.
	Media Media `yaml:"media,omitempty"`
	// What becomes of live calls when the process ends.
	Restart Restart `yaml:"restart,omitempty"`
	// Carrier side.
	Trunks []Party `yaml:"trunks"`
	// Contact-centre side.
	EdgeGroups []Party `yaml:"edge_groups"`
	// Endpoints outside the call path: declared, placed and watched, and never permitted by that.
	Inventory []Endpoint `yaml:"inventory,omitempty"`
	// Which calls go where.
	Routes []Route `yaml:"routes"`
	// Emergency numbers and the only trunk that carries them, per country.
	Emergency []Emergency `yaml:"emergency,omitempty"`
	// Probing.
	Health Health `yaml:"health,omitempty"`
	// Name servers.
	DNS DNS `yaml:"dns,omitempty"`
	// The manual-approval gate.
	Gate Gate `yaml:"gate,omitempty"`
	// Legal bases of transfers, registered beforehand. A ticket shows the one of the party that it opens.
	LegalBases []LegalBasis `yaml:"legal_bases,omitempty"`
	// Who may do what.
	People []Person `yaml:"people,omitempty"`
	// The transparency log.
	Log Log `yaml:"log,omitempty"`
	// The financial entity as the law on incidents sees it.
	Entity Entity `yaml:"entity,omitempty"`
	// How often people review what is in force, and who; default: every six months.
	Reviews Reviews `yaml:"reviews,omitempty"`
	// When drills may run, who starts them, and which come round; default: in a sandbox alone.
	Drills Drills `yaml:"drills,omitempty"`
	// What the record of processing activities (GDPR Art. 30) says and no log can know.
	Processing Processing `yaml:"processing,omitempty"`
	// What opens an incident, and what runs then.
	Incidents Incidents `yaml:"incidents,omitempty"`
	// How long what the log's references of calls stand for is kept, and why; default: five years. What a class says of its trunks goes beside what the class of all calls says: the longer one counts.
	Retention []RetentionClass `yaml:"retention,omitempty"`
	// Who is told.
	Notify []Channel `yaml:"notify,omitempty"`
	// The HTTP interface.
	API API `yaml:"api,omitempty"`
	// SIP limits.
	Limits Limits `yaml:"limits,omitempty"`
	// What keeps strangers and floods away.
	Guard Guard `yaml:"guard,omitempty"`
	// Certificates.
	Certificates Certificates `yaml:"certificates,omitempty"`
	// What is remembered of calls on the wire, for cordon trace.
	Trace Trace `yaml:"trace,omitempty"`
	// A collector that gets a copy of each message of calls.
	HEP *HEP `yaml:"hep,omitempty"`
	// An OpenTelemetry collector that gets each ended call as one trace.
	Spans *Spans `yaml:"spans,omitempty"`
}

// Tenant is the financial entity.
type Tenant struct {
	// Identifier of the organisation, used in the API's paths.
	OrgID string `yaml:"org_id"`
	// Legal name.
	Name string `yaml:"name,omitempty"`
	// Legal Entity Identifier, ISO 17442: 20 letters and digits, the last two are check digits.
	LEI string `yaml:"lei,omitempty"`
}

// Node is this instance.
type Node struct {
	// Name of the node, unique in the tenant.
	Name string `yaml:"name"`
	// Folder for log, state and keys; made on first run with mode 0700.
	StateDir string `yaml:"state_dir"`
	// Where the node stands. Without it round trips say nothing of where others are.
	Position *Position `yaml:"position,omitempty"`
	// The region that it stands in, provider:code, where position is not known better.
	Region string `yaml:"region,omitempty"`
}

// Policy is the sovereignty rule.
type Policy struct {
	// Which legal standings need no person: eu_only, eea_only, eea_plus_adequacy (default), eea_plus_adequacy_no_conditional.
	Preset string `yaml:"preset,omitempty"`
	// Home region, provider:code. It is the only permitted one when allow is empty.
	Home string `yaml:"home"`
	// Regions to which calls may fail over without a person. A region must be listed here and pass the preset.
	Allow []string `yaml:"allow,omitempty"`
	// File of signed suspensions of legal instruments, one JSON object a line. Watched; takes effect without restart.
	SuspensionsFile string `yaml:"suspensions_file,omitempty"`
	// Public keys (Ed25519, base64) that may sign suspensions, by key id.
	SuspensionKeys map[string]string `yaml:"suspension_keys,omitempty"`
}

// Region is a place of the operator's own or of a carrier.
type Region struct {
	// provider:code, e.g. bank:fra-1.
	Key string `yaml:"key"`
	// Country of the data centre, ISO 3166-1 alpha-2.
	Country string `yaml:"country"`
	// City, for people.
	City string `yaml:"city,omitempty"`
	// Reference of the document that states it.
	Contract string `yaml:"contract"`
	// Where it is on the map. Without it round trips say nothing against it.
	Position *Position `yaml:"position,omitempty"`
}

// Place declares one prefix.
type Place struct {
	// CIDR prefix.
	Prefix string `yaml:"prefix"`
	// The region it belongs to, provider:code.
	Region string `yaml:"region,omitempty"`
	// For a prefix that several countries share: all of them, ISO 3166-1 alpha-2. The strictest decides.
	Countries []string `yaml:"countries,omitempty"`
	// Legal name of the network's operator.
	Operator string `yaml:"operator,omitempty"`
	// Reference of the contract annex that names the location, DORA Art. 30(2)(b).
	Contract string `yaml:"contract"`
	// First day of validity, YYYY-MM-DD.
	ValidFrom string `yaml:"valid_from,omitempty"`
	// Last day of validity, YYYY-MM-DD.
	ValidUntil string `yaml:"valid_until,omitempty"`
}

// Listener is one local SIP socket.
type Listener struct {
	// udp, tcp or tls.
	Transport string `yaml:"transport"`
	// Literal address and port.
	Address string `yaml:"address"`
	// Address and port that Via and Contact carry, when it differs (NAT).
	Advertise string `yaml:"advertise,omitempty"`
	// Certificate chain, PEM (tls).
	CertFile string `yaml:"cert_file,omitempty"`
	// Private key, PEM (tls).
	KeyFile string `yaml:"key_file,omitempty"`
	// Roots that client certificates must chain to, PEM (tls); asks for a client certificate.
	ClientCAFile string `yaml:"client_ca_file,omitempty"`
	// Names that a client certificate must carry are set per trunk (peers).
}

// Media is the relay.
type Media struct {
	// Local address of media sockets; default: the address of the first listener.
	Address string `yaml:"address,omitempty"`
	// Address written into SDP, when it differs (NAT).
	Advertise string `yaml:"advertise,omitempty"`
	// Port range "20000-29999"; default: chosen by the system. A call takes four ports, which rest for 5 s after it. Their sockets stay open for the next calls, within the
	// limit of open files (LimitNOFILE): connections and an eighth of all are left to others.
	Ports string `yaml:"ports,omitempty"`
	// Code point (RFC 2474) of RTP and RTCP that is sent, 0 to 63; default: 46, expedited forwarding, as RFC 4594 has it of voice. off leaves packets as the system makes them.
	DSCP string `yaml:"dscp,omitempty"`
	// What a peer gets whose other side sends no RTCP: fill (default): after ten seconds, reports that are made here, of what is sent to it and comes from it (RFC 3550); pass: nothing.
	RTCP string `yaml:"rtcp,omitempty"`
	// Threads that carry packets; both sides of a call have the same one. auto (default): one per four processors, one at least. 1 to 64. While calls are up it stays what it was when they began, over restarts and upgrades.
	Workers string `yaml:"workers,omitempty"`
	// How long packets wait for each other at most, when there are 2,000 a second and more for a thread: 250us to 5ms; default 1ms. off: each is carried when it comes, which costs more of a processor. It counts from when the process
	// that carries packets starts.
	Tick string `yaml:"tick,omitempty"`
	// false: a process of its own, `cordon media`, carries the packets of calls; it is started by itself, and goes on when this process dies. true: this process carries them. Default: a process of its own where the system can
	// have one (Linux, 512 MiB of memory or more), else this one, which says why.
	InProcess *bool `yaml:"inprocess,omitempty"`
	// When a side of an answered call counts as silent, unheard or dead.
	Liveness Liveness `yaml:"liveness,omitempty"`
	// Digits that one side says by INFO and the other one hears as telephone events.
	DTMF DTMF `yaml:"dtmf,omitempty"`
}

// Party is a trunk or an edge group.
type Party struct {
	// Unique name over trunks and edge groups.
	Name string `yaml:"name"`
	// Where its signalling is terminated, provider:code.
	Region string `yaml:"region"`
	// Home region of the organisation behind an edge group.
	OrgHomeRegion string `yaml:"org_home_region,omitempty"`
	// Where its media may be terminated; default: region.
	MediaRegions []string `yaml:"media_regions,omitempty"`
	// Reference that backs media_regions.
	MediaEvidence string `yaml:"media_evidence,omitempty"`
	// Contract reference.
	Contract string `yaml:"contract,omitempty"`
	// Who stands behind it by contract, for the register of information: cordon report register.
	Provider *Provider `yaml:"provider,omitempty"`
	// Id in legal_bases: what a transfer to it rests on once people opened the gate.
	LegalBasis string `yaml:"legal_basis,omitempty"`
	// Country (ISO 3166-1 alpha-2) whose emergency calls it may bring or carry; an emergency row must then exist for it.
	Country string `yaml:"country,omitempty"`
	// Attested conditions of conditional adequacy decisions.
	Attributes []Attribute `yaml:"attributes,omitempty"`
	// Ways to reach it. A party that registers needs none.
	Members []Member `yaml:"members,omitempty"`
	// Prefixes that its requests come from; default: the literal addresses of its members.
	Sources []string `yaml:"sources,omitempty"`
	// Names of which its client certificate must carry one (mTLS).
	Peers []string `yaml:"peers,omitempty"`
	// Media protection.
	Media PartyMedia `yaml:"media,omitempty"`
	// TLS identity toward it.
	TLS PartyTLS `yaml:"tls,omitempty"`
	// Digest credentials that it asks for.
	Auth *Auth `yaml:"auth,omitempty"`
	// How its challenges are answered.
	Digest *Digest `yaml:"digest,omitempty"`
	// What it must prove before its registrations and calls are taken.
	Challenge *Challenge `yaml:"challenge,omitempty"`
	// It registers with this node: calls go to what it registered, by the way that its registration came on.
	Registers bool `yaml:"registers,omitempty"`
	// This node registers with it.
	Register *Register `yaml:"register,omitempty"`
	// Host part of From and of the request URI toward it; default: the member's host.
	Domain string `yaml:"domain,omitempty"`
	// Host name in our Contact toward it; default: the listener's address.
	Contact string `yaml:"contact,omitempty"`
	// RFC 3325: its P-Asserted-Identity is believed and ours is sent to it.
	Trusted bool `yaml:"trusted,omitempty"`
	// Reliable provisional responses (RFC 3262): end (default) or pass.
	Rel100 string `yaml:"rel100,omitempty"`
	// Early media that it sends: pass (default), authorised (only what its P-Early-Media lets through, RFC 5009), block.
	EarlyMedia string `yaml:"early_media,omitempty"`
	// Holds of the other side: relay (default) tells it of them, local answers them here and tells it nothing.
	Hold string `yaml:"hold,omitempty"`
	// Digits that it sends and gets: auto (default: telephone events of RFC 4733 where its session description has them, else INFO where its Allow names it), rfc4733 (it gets none by INFO) or info (by INFO alone: it is offered no telephone events, and those that it describes are left out). Between two sides that differ they are converted.
	DTMF string `yaml:"dtmf,omitempty"`
	// Requests over 1300 bytes that would go to it by UDP: udp (default) leaves them to fragmentation; tcp sends them by TCP to the same address and port (RFC 3261 section 18.1.1), and by UDP where no connection opens. Messages in pager mode (RFC 3428) of that size go by TCP or not at all.
	LargeRequests string `yaml:"large_requests,omitempty"`
	// Session interval, RFC 4028; default 30m; "off" turns it off.
	SessionInterval string `yaml:"session_interval,omitempty"`
	// Deadlines of one attempt.
	Deadlines Deadlines `yaml:"deadlines,omitempty"`
	// Probing, where it differs from the default.
	Health *Health `yaml:"health,omitempty"`
	// Content types of messages (SIP MESSAGE, pager mode) that may go to it; default: text/plain. Messages inside a call go only to a party that says so here.
	Messages []string `yaml:"messages,omitempty"`
	// What a REFER of it does: local (default: planned, judged and done here), relay (sent on to the other side) or refuse, which declines INVITE with Replaces, too.
	Transfer string `yaml:"transfer,omitempty"`
	// Concurrent calls; 0 is no limit.
	MaxCalls int `yaml:"max_calls,omitempty"`
	// New calls per second, in each direction; 0 is no limit.
	MaxCPS float64 `yaml:"max_cps,omitempty"`
	// How far it is trusted on the wire.
	Guard PartyGuard `yaml:"guard,omitempty"`
	// Its audio formats; default: all, in the order of the other side.
	Codecs *Codecs `yaml:"codecs,omitempty"`
	// What it is offered once more after it refused an offer.
	Fallback *Fallback `yaml:"fallback,omitempty"`
	// Fax by T.38 over UDPTL, in its offers and to it: deny (default: refused, so that faxes go as audio) or allow. Nothing encrypts it, so that a party whose media.security is srtp or dtls cannot allow it.
	T38 string `yaml:"t38,omitempty"`
	// Further end-to-end headers that may cross, e.g. X-Genesys-Conversation-ID.
	Headers []string `yaml:"headers,omitempty"`
	// How it writes telephone numbers; default: they are taken and sent as they come.
	Numbers *Numbers `yaml:"numbers,omitempty"`
	// Calling numbers that it takes; default: any.
	Callers *Callers `yaml:"callers,omitempty"`
	// What is done with headers beyond that list, in this order.
	HeaderRules []HeaderRule `yaml:"header_rules,omitempty"`
	// How it is told who sent a call on: diversion (RFC 5806), history-info (RFC 7044), both or none; each is mapped from the other. Trusted parties alone.
	Diversion string `yaml:"diversion,omitempty"`
	// PASSporTs (STIR, RFC 8224): drop (default) or pass. Those that what it is sent would make untrue are dropped in any case, and counted.
	Identity string `yaml:"identity,omitempty"`
	// P-Preferred-Identity of this party, which is not trusted, is believed: it authenticates its users itself.
	PreferredIdentity bool `yaml:"preferred_identity,omitempty"`
	// User-to-User data (RFC 7433): strip (default) or pass.
	UserToUser string `yaml:"user_to_user,omitempty"`
	// The longest such data in octets; default 128. Longer data is stripped.
	UserToUserMax int `yaml:"user_to_user_max,omitempty"`
	// Types of body parts that may cross beside the session description, e.g. application/isup.
	Bodies []string `yaml:"bodies,omitempty"`
	// It gets a Q.850 cause with BYE, CANCEL and refusals also where the other side gave only a SIP status (RFC 3398).
	Q850Cause bool `yaml:"q850_cause,omitempty"`
}

// Attribute is one attested condition.
type Attribute struct {
	// Name, e.g. recipient.dpf_listed.
	Name string `yaml:"name"`
	// true, false, a word or a list of words.
	Value any `yaml:"value"`
	// Reference of the document that shows it.
	Evidence string `yaml:"evidence"`
	// Day of the evidence, YYYY-MM-DD.
	At string `yaml:"at,omitempty"`
}

// Member is one way to reach a party.
type Member struct {
	// Name, unique in the party; default: the host.
	Name string `yaml:"name,omitempty"`
	// Domain name or literal address.
	Host string `yaml:"host"`
	// Port; default: by DNS for names, 5060 or 5061 for literals.
	Port uint16 `yaml:"port,omitempty"`
	// udp, tcp or tls; default: by DNS for names, tls for literals.
	Transport string `yaml:"transport,omitempty"`
	// Lower is tried first.
	Priority uint16 `yaml:"priority,omitempty"`
	// Share among equal priorities.
	Weight uint16 `yaml:"weight,omitempty"`
}

// PartyMedia is the media protection of a party.
type PartyMedia struct {
	// srtp (default: required), optional (SRTP is offered, and what is offered is taken), best_effort (RTP/AVP with keys that need not be answered, RFC 8643; without keys over a hop that is not TLS), plain, dtls (DTLS-SRTP, RFC 5763, and nothing else: for browsers and their gateways). Where optional and best_effort take what is offered, DTLS-SRTP is among it.
	Security string `yaml:"security,omitempty"`
	// SDES suites in order of preference; default: all, AEAD first.
	Suites []string `yaml:"suites,omitempty"`
	// ICE with it: off (default) or lite (RFC 8445: it checks, and media goes where it nominates; for browsers, and for whoever stands behind a NAT). Who does not speak ICE goes on without.
	ICE string `yaml:"ice,omitempty"`
	// Lets SDES keys travel over signalling without TLS. For laboratories alone.
	InsecureLab bool `yaml:"insecure_lab,omitempty"`
	// Further prefixes that plain RTP may come from.
	Prefixes []string `yaml:"prefixes,omitempty"`
	// What happens to a call when its media is dead: report or end; default: media.liveness.on_dead.
	OnDead string `yaml:"on_dead,omitempty"`
	// What it is offered: avp (default: RTP/AVP or RTP/SAVP) or avpf (the default with security dtls: RTP/AVPF or RTP/SAVPF, for who takes nothing else; no feedback messages cross). What it offers is taken either way.
	Profile string `yaml:"profile,omitempty"`
	// Whether it is offered RTP and RTCP on one port (RFC 5761): pass (default: as the other side does) or offer (always, for who takes nothing else, RFC 8858).
	Mux string `yaml:"rtcp_mux,omitempty"`
	// Local address of its media sockets, e.g. one of IPv6 for a party that has no other; default: that of media.
	Address string `yaml:"address,omitempty"`
	// Address written into SDP for it, when it differs (NAT); default: address, or else that of media.
	Advertise string `yaml:"advertise,omitempty"`
}

// PartyTLS is the TLS identity toward a party.
type PartyTLS struct {
	// Name that is sent (SNI) and verified; default: the member's host.
	ServerName string `yaml:"server_name,omitempty"`
	// Roots, PEM; default: the system's.
	RootsFile string `yaml:"roots_file,omitempty"`
	// Our client certificate, PEM.
	CertFile string `yaml:"cert_file,omitempty"`
	// Its key, PEM.
	KeyFile string `yaml:"key_file,omitempty"`
	// 1.2 (default) or 1.3.
	MinVersion string `yaml:"min_version,omitempty"`
}

// Auth is digest authentication.
type Auth struct {
	// User name.
	User string `yaml:"user"`
	// Realm; default: any.
	Realm string `yaml:"realm,omitempty"`
	// The password, by reference.
	Password Secret `yaml:"password"`
}

// Deadlines of one attempt.
type Deadlines struct {
	// INVITE to any response; default 2s over UDP, 1.5s over TCP and TLS.
	First Duration `yaml:"first_response,omitempty"`
	// 100 to 18x; default 12s.
	Progress Duration `yaml:"progress,omitempty"`
	// First 18x to a final response; default 60s. Another 180 or 183 wins no time. While the callee says that the call is queued (182) the time begins anew, for 5m in all or as long as this is.
	Ring Duration `yaml:"ring,omitempty"`
	// All attempts until the first 18x; default 30s.
	Setup Duration `yaml:"setup,omitempty"`
}

// Route says which calls go where.
type Route struct {
	// Unique name.
	Name string `yaml:"name"`
	// inbound (carrier to contact centre) or outbound.
	Direction string `yaml:"direction"`
	// Trunks or groups that the call comes from; default: any of the direction.
	From []string `yaml:"from,omitempty"`
	// Called number prefixes; the longest match over all routes wins.
	Prefix []string `yaml:"prefix,omitempty"`
	// SIP domains of the request URI.
	Domain []string `yaml:"domain,omitempty"`
	// Parties to try.
	To []Choice `yaml:"to"`
	// CSV file that says which party of to a called number belongs to: it goes there first, the others follow. Looked at every two seconds; columns prefix (or first and last), party, valid_from, valid_until.
	Table string `yaml:"table,omitempty"`
	// What happens when nothing permitted is left.
	OnHold *OnHold `yaml:"on_hold,omitempty"`
	// MANUAL_APPROVAL_REQUIRED (default) or NEVER.
	FallbackPolicy string `yaml:"fallback_policy,omitempty"`
	// It carries messages (SIP MESSAGE, pager mode) beside calls; without such a route messages are refused.
	Messages bool `yaml:"messages,omitempty"`
	// A hop without a reachable permitted recorder is refused.
	RecordingRequired bool `yaml:"recording_required,omitempty"`
	// When the preferred party is used again.
	Failback Failback `yaml:"failback,omitempty"`
	// The next party is tried beside one that gave no sign within first_response, which may still answer; two at once at most, the first to answer has the call.
	Overlap bool `yaml:"overlap,omitempty"`
}

// Choice is one party of a route.
type Choice struct {
	// Trunk or edge group.
	Party string `yaml:"party"`
	// Lower is tried first; default: the order in the list.
	Priority int `yaml:"priority,omitempty"`
	// Share among equal priorities.
	Weight int `yaml:"weight,omitempty"`
}

// OnHold is the refusal.
type OnHold struct {
	// 403 (default) or 603.
	Status int `yaml:"status,omitempty"`
	// Edge group that takes the call instead; it must be permitted itself.
	Queue string `yaml:"queue,omitempty"`
	// What the caller hears before the refusal; {} is a tone. Calls for help are never played to.
	Announce *Announce `yaml:"announce,omitempty"`
}

// Failback of a route.
type Failback struct {
	// The preferred party must be healthy that long; default 10m.
	After Duration `yaml:"after,omitempty"`
	// Only by hand.
	Manual bool `yaml:"manual,omitempty"`
	// Only at this time of the day, and when after is over, too.
	Window *FailbackWindow `yaml:"window,omitempty"`
}

// Emergency row of one country.
type Emergency struct {
	// ISO 3166-1 alpha-2.
	Country string `yaml:"country"`
	// Numbers and service URNs.
	Numbers []string `yaml:"numbers"`
	// The only trunk that carries them.
	Trunk string `yaml:"trunk"`
}

// Health is probing.
type Health struct {
	// Time between two probes of a target; default 5s.
	Interval Duration `yaml:"interval,omitempty"`
	// Deadline of a probe; default 2s; smaller than interval.
	Timeout Duration `yaml:"timeout,omitempty"`
	// Share of interval; default 0.1.
	Jitter float64 `yaml:"jitter,omitempty"`
	// Misses in a row until down; default 3.
	Fall int `yaml:"fall,omitempty"`
	// Answers in a row until up; default 5.
	Rise int `yaml:"rise,omitempty"`
	// Least time down; default 10s. Each fall within ten minutes doubles it, up to eight times as long.
	HoldDown Duration `yaml:"hold_down,omitempty"`
	// Mean round trip above which a target is degraded; default off.
	SlowRTT Duration `yaml:"slow_rtt,omitempty"`
	// One call tries a target that fell before all others do.
	Breaker Breaker `yaml:"breaker,omitempty"`
	// A target that falls too often stays down for longer.
	Flap Flap `yaml:"flap,omitempty"`
	// What its calls must be like.
	Calls CallQuality `yaml:"calls,omitempty"`
	// How it is probed: options (default), call (synthetic calls beside OPTIONS), media (the same, and the far end must send the tone back).
	Probe string `yaml:"probe,omitempty"`
	// The synthetic calls. Needed for call and media, which belong to one trunk or edge group.
	Call ProbeCall `yaml:"call,omitempty"`
}

// DNS servers.
type DNS struct {
	// Literal addresses, asked in order; each must lie in a permitted place.
	Servers []string `yaml:"servers,omitempty"`
	// Per server; default 1s.
	Timeout Duration `yaml:"timeout,omitempty"`
	// Bounds of the cache; default 5s and 1h.
	MinTTL Duration `yaml:"min_ttl,omitempty"`
	MaxTTL Duration `yaml:"max_ttl,omitempty"`
}

// Gate rules.
type Gate struct {
	// Distinct people in distinct roles; default 2.
	Quorum int `yaml:"quorum,omitempty"`
	// Roles that may approve, each once and at least as many as the quorum.
	Roles []string `yaml:"roles,omitempty"`
	// Whether the data protection officer must have answered; default true.
	Opinion *bool `yaml:"opinion_required,omitempty"`
	// What the data protection officer's word is: opinion (default), or approve: it counts as one of the approvals. cordon check warns of the second: GDPR Art. 38(6).
	DPOMode string `yaml:"dpo_mode,omitempty"`
	// Who else is told while nobody decides; the earliest step first. Time tells and never allows.
	Escalate []EscalateStep `yaml:"escalate,omitempty"`
	// What else ends a grant before its time: primary_recovered_for_10m, with any length. The end of its time, of its quota and of its legal basis, a suspended
	// instrument and a changed policy always do.
	AutoRevoke []string `yaml:"auto_revoke,omitempty"`
	// Whether a ticket needs a complete legal basis of legal_bases before it can be approved; default true where legal_bases has any.
	Basis *bool `yaml:"basis_required,omitempty"`
	// Approval clock; default 30m.
	ApproveIn Duration `yaml:"approve_in,omitempty"`
	// Execution clock; default 15m.
	ExecuteIn Duration `yaml:"execute_in,omitempty"`
	// Length of a grant; default 4h, at most 72h.
	GrantFor Duration `yaml:"grant_for,omitempty"`
	// Whether two people may break the glass; default true. It needs a complete legal basis and owes an opinion and a review within 24 h.
	BreakGlass *bool `yaml:"break_glass,omitempty"`
	// Length of a grant by break-glass; default and at most 60m.
	BreakGlassFor Duration `yaml:"break_glass_for,omitempty"`
	// Within what time after its end a grant that carried calls is to be reviewed; default 168h, at most 720h.
	ReviewIn Duration `yaml:"review_in,omitempty"`
	// Calls that one grant may let through; default 1000.
	MaxCalls int `yaml:"max_calls,omitempty"`
	// Whether a grant starts by itself once approved; default true.
	AutoActivate *bool `yaml:"auto_activate,omitempty"`
	// Whether decisions and opinions must be signed with a person's own key: required, or accepted (default).
	Signatures string `yaml:"signatures,omitempty"`
}

// EscalateStep is one step up while a ticket waits.
type EscalateStep struct {
	// After what time without a decision, since the request; less than approve_in.
	After Duration `yaml:"after"`
	// The role that is told.
	Role string `yaml:"role"`
}

// LegalBasis is one instrument of GDPR Chapter V that transfers may rest on. It does not change what the policy permits.
type LegalBasis struct {
	// Identifier: lower-case letters, digits, dots and dashes.
	ID string `yaml:"id"`
	// Instrument: Art46(2)(c)_SCC, Art46(2)(b)_BCR, Art46(2)(e)_code, Art46(2)(f)_certification, Art46(3)(a)_adhoc_with_SA_authorisation, Art49(1)(a)_explicit_consent,
	// Art49(1)(b)_contract_with_data_subject, Art49(1)(c)_contract_in_interest, Art49(1)(d)_public_interest, Art49(1)(e)_legal_claims, Art49(1)(f)_vital_interests,
	// Art49(1)sub2_compelling_legitimate_interests. A grant on Art. 49 lasts at most 24h.
	Kind string `yaml:"kind"`
	// Reference of the document.
	Document string `yaml:"document"`
	// SHA-256 of the document, 64 hex digits.
	SHA256 string `yaml:"sha256,omitempty"`
	// Day of signature, YYYY-MM-DD. Needed for Art. 46.
	SignedOn string `yaml:"signed_on,omitempty"`
	// Last day of validity, YYYY-MM-DD. No ticket and no grant outlives it. An expired basis is no error: tickets just show none.
	Expires string `yaml:"expires,omitempty"`
	// Transfer impact assessment. Due for Art. 46, see Schrems II and clause 14 of the standard contractual clauses.
	TIA *TIA `yaml:"tia,omitempty"`
	// Why the transfer is necessary and occasional. Needed for Art. 49.
	Necessity string `yaml:"necessity,omitempty"`
	// Whether the transfer is occasional; Art. 49(1)(b), (c) and (e) are for nothing else (recital 111).
	Occasional bool `yaml:"occasional,omitempty"`
	// Norm of Union or Member State law that recognises the public interest. Needed for Art. 49(1)(d), see Art. 49(4).
	PublicInterest string `yaml:"public_interest_norm,omitempty"`
	// How the supervisory authority is informed. Needed for Art. 49(1) second subparagraph.
	AuthorityInformed string `yaml:"authority_informed,omitempty"`
	// How the data subjects are informed. Needed for Art. 49(1) second subparagraph.
	SubjectsInformed string `yaml:"subjects_informed,omitempty"`
}

// TIA is a transfer impact assessment.
type TIA struct {
	// Reference of the document.
	Document string `yaml:"document"`
	// Day of the assessment, YYYY-MM-DD.
	Date string `yaml:"date"`
	// What it found, in a word or a sentence.
	Outcome string `yaml:"outcome"`
	// Supplementary measures that it rests on.
	Measures []string `yaml:"supplementary_measures,omitempty"`
}

// Person is somebody who may sign in.
type Person struct {
	// Identifier, never in the log: entries carry a pseudonym.
	ID string `yaml:"id"`
	// Name for people.
	Name string `yaml:"name,omitempty"`
	// Unit of the organisation: the report of a drill names it beside who tested (DORA Art. 24(4)).
	Unit string `yaml:"unit,omitempty"`
	// Roles at the gate: incident_commander, business_owner, ciso, crisis_manager, management_body_delegate, dpo, operator, auditor.
	Roles []string `yaml:"roles,omitempty"`
	// Roles in which the person acts while everybody who holds them is absent.
	DeputyFor []string `yaml:"deputy_for,omitempty"`
	// When the person is away and does not count. A ticket goes by what stood here when it was opened.
	Absent []Absence `yaml:"absent,omitempty"`
	// Scopes of the token: org.read, logs.view, api.healthcheck, calls.trace.
	Scopes []string `yaml:"scopes,omitempty"`
	// Bearer token, by reference. No two people share one: a decision is one person's. At the start and at a reload two with the same value are refused.
	Token Secret `yaml:"token"`
	// Last day of the token, YYYY-MM-DD; default: it never expires. Keys of the person do not outlive it.
	Expires string `yaml:"expires,omitempty"`
	// Keys with which the person signs decisions. Those of a node's first start with keys count; for a later one two people vouch.
	Keys []PersonKey `yaml:"keys,omitempty"`
}

// Absence is a time away.
type Absence struct {
	// First day, YYYY-MM-DD.
	From string `yaml:"from"`
	// Last day, YYYY-MM-DD.
	Until string `yaml:"until"`
}

// Log is the transparency log.
type Log struct {
	// Bytes preallocated on disk, e.g. 64MiB (default).
	Reserve string `yaml:"reserve,omitempty"`
	// What a permitted call does while the log cannot be written: refuse (default) or continue_with_gap.
	OnLogFailure string `yaml:"on_log_failure,omitempty"`
	// Others that sign its checkpoints over HTTP (C2SP tlog-witness).
	Witnesses []LogWitness `yaml:"witnesses,omitempty"`
	// How many of them must sign; default: all. Fewer give witness.quorum_missing.
	Quorum int `yaml:"quorum,omitempty"`
	// How often they are asked, if there is something new, and once more in the end; default 1m, 10s to 1h.
	WitnessEvery Duration `yaml:"witness_every,omitempty"`
	// A second copy of it, in a bucket that nobody can delete from (S3 Object Lock).
	WORM *WORM `yaml:"worm,omitempty"`
	// The documented reliable source of time, in words, at most 120 characters; it stands in each clock.quality (RTS (EU) 2024/1774 Art. 12(2)(f)).
	ClockSource string `yaml:"clock_source,omitempty"`
	// A jump of the clock that is longer is recorded, and back is an alarm; default 500ms, 10ms to 1m.
	ClockStep Duration `yaml:"clock_step,omitempty"`
}

// API is the HTTP interface.
type API struct {
	// Literal address; default 127.0.0.1:8480. "off" turns it off.
	Address string `yaml:"address,omitempty"`
	// Needed as soon as the address is not a loopback one.
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
}

// Limits of SIP.
type Limits struct {
	// Concurrent calls of the node; default 10000.
	MaxCalls int `yaml:"max_calls,omitempty"`
	// New calls per second and source; default 50.
	RatePerSource float64 `yaml:"rate_per_source,omitempty"`
	// What a stranger in a permitted place gets: silence (default) or 403.
	Stranger string `yaml:"stranger,omitempty"`
	// Time to connect a stream; default 1s.
	Connect Duration `yaml:"connect,omitempty"`
}

// Secret is a reference to a secret: {env: NAME} or {file: PATH}. It prints stars.
type Secret struct {
	// Environment variable.
	Env string `yaml:"env,omitempty"`
	// File whose first line it is.
	File string `yaml:"file,omitempty"`
}
