package cordon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/state"
)

const (
	charterKey   = "policy.accepted" // in the state: a shortcut to the log, and what the log may not carry
	partsKey     = "policy.parts"    // beside it: the newest accepted policy that knows all parts, which an earlier version of the program leaves alone
	charterPiece = 24 << 10          // bytes of a charter in one entry: as a JSON string it may double
	restateEvery = 24 * time.Hour    // an entry names the accepted policy, so that a start finds it near the end of the log
	askEvery     = 5 * time.Second   // a ticket that could not be opened, or an approved policy that could not be put in force, is tried again
	ruleWidening = "rule:policy"     // who asks where nobody reloaded
)

// charters keeps the policy that people accepted and what waits for them. The log is the truth: what it says was accepted counts, whatever the state or the file say.
type charters struct {
	node *Node
	seal charter.Seal

	naming sync.Mutex // held while an entry names the accepted policy, so that none names an older one behind a newer one; taken before mu

	mu       sync.Mutex // guards all below; held for no I/O
	now      acceptedPolicy
	held     *heldPolicy
	asking   string    // who asked for held as long as its ticket is not open
	tried    time.Time // when asking, or putting in force, was last tried
	restated time.Time
	approved bool // people approved held, and it is not in force
}

// acceptedPolicy is the policy that counts. Without a digest there is none: nothing was ever accepted here.
type acceptedPolicy struct {
	charter charter.Charter
	digest  string
	entry   uint64           // of the log
	kept    []byte           // see configs.Config.Kept
	known   *charter.Charter // an earlier one that knew parts of which this one is silent; nil: there is none
}

// heldPolicy is a configuration that is wider.
type heldPolicy struct {
	cfg     *configs.Config
	digest  string
	widens  []charter.Widening
	changes []charter.Difference // to the accepted one, for people
	since   time.Time
}

// weighed is what becomes of a configuration.
type weighed struct {
	file, run     *configs.Config // as it was read, and as it may run
	charter       charter.Charter
	text          []byte
	keep          []byte // what the state is to hold of it; nil: what the file says
	digest        string
	widens        []charter.Widening
	cause, why    string // of accepting it; no cause: it is what counts already, or it is held
	ticket        string
	held          bool
	entry         uint64   // of the log, that accepted what counts with it
	acceptedAlong string   // the digest of that
	first         *weighed // the accepted policy with the parts that the version which wrote it did not know: it is accepted before anything else
}

func newCharters(n *Node) *charters {
	return &charters{node: n, seal: charter.Seal{Pseudonym: n.names.Person, MAC: n.keys.derive("charter")}}
}

// approvedCause are the causes of acceptance.
const (
	causeFirst    = "first_start"
	causeNarrower = "narrower"
	causeSigned   = "signed"
	causeUnsigned = "unsigned"
	causeParts    = "new_parts"
)

// weigh says what becomes of a configuration. It changes nothing.
func (k *charters) weigh(cfg *configs.Config) (*weighed, error) {
	plain, err := cfg.Charter()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	now := k.now
	k.mu.Unlock()
	w := &weighed{file: cfg, run: cfg, charter: k.seal.Charter(plain), entry: now.entry, acceptedAlong: now.digest}
	if w.text, err = w.charter.Canonical(); err != nil {
		return nil, err
	}
	w.digest = charter.Digest(w.text)
	if now.digest == "" {
		w.cause, w.why = causeFirst, "adopted at first start"
		return w, nil
	}
	if w.digest == now.digest {
		return w, nil
	}
	if now, err = k.complete(w, now); err != nil || w.digest == now.digest {
		return w, err
	}
	w.widens = charter.Widens(now.charter, w.charter)
	switch {
	case len(w.widens) == 0:
		w.cause, w.why = causeNarrower, "nothing is wider"
		return w, nil
	case !now.charter.CanSign():
		w.cause, w.why = causeUnsigned, "unsigned: nobody is enrolled who could sign"
		return w, nil
	}
	w.held = true
	if w.run, err = cfg.Within(now.charter, k.seal, now.kept); err == nil {
		err = w.run.DistinctTokens()
	}
	return w, err
}

// complete fills up an accepted policy that an earlier version of the program wrote: parts which that one did not know are taken as they were accepted here before, or, at
// the first sight of all, as the configuration has them. It happens once: what it gives knows them all, and the log has it before anything else is accepted or held.
func (k *charters) complete(w *weighed, now acceptedPolicy) (acceptedPolicy, error) {
	full, parts := now.charter.Adopt(w.charter)
	if len(parts) == 0 {
		return now, nil
	}
	how := "as the configuration has them"
	if now.known != nil {
		full, _ = now.charter.Adopt(*now.known)
		how = "as they were accepted before"
	}
	text, err := full.Canonical()
	if err != nil {
		return now, err
	}
	w.first = &weighed{
		file: w.file, keep: now.kept, charter: full, text: text, digest: charter.Digest(text), acceptedAlong: now.digest, cause: causeParts,
		why: fmt.Sprintf("an earlier version accepted the policy and did not know of %s: adopted once, %s", strings.Join(parts, ", "), how),
	}
	now.charter, now.digest, now.known = full, w.first.digest, nil
	w.acceptedAlong = now.digest
	return now, nil
}

// record writes down what becomes of a configuration, before it does. by is a pseudonym.
func (k *charters) record(ctx context.Context, w *weighed, cause, by string) error {
	if first := w.first; first != nil {
		if err := k.accept(ctx, first, by); err != nil {
			return err
		}
		k.node.logger.Info("an earlier version did not know all parts of the accepted policy: they are adopted", "why", first.why, "entry", first.entry)
		w.first, w.entry = nil, first.entry
	}
	if w.held {
		k.mu.Lock()
		known := k.held != nil && k.held.digest == w.digest
		k.mu.Unlock()
		if known {
			return nil
		}
		k.node.logger.Warn("the configuration is wider than the policy that people accepted, which stays in force until they approve it", "widenings", len(w.widens))
		_, err := k.node.log.Commit(ctx, audit.WideningHeld{Cause: cause, By: by, Charter: w.acceptedAlong, Proposed: w.digest, Widenings: listed(w.widens)})
		return err
	}
	if w.cause == "" {
		return nil
	}
	return k.accept(ctx, w, by)
}

// accept writes down that the policy of w counts from here on.
func (k *charters) accept(ctx context.Context, w *weighed, by string) error {
	ev := audit.PolicyAccepted{Charter: w.digest, Before: w.acceptedAlong, Cause: w.cause, Why: w.why, By: by, Ticket: w.ticket, Widenings: listed(w.widens)}
	keep, err := w.file.Kept()
	if err != nil {
		return err
	}
	if w.keep != nil {
		keep = w.keep
	}
	k.naming.Lock()
	defer k.naming.Unlock()
	of := (len(w.text) + charterPiece - 1) / charterPiece
	for i, text := range chunks(w.text, charterPiece) {
		seq, err := k.node.log.Append(ctx, audit.PolicyCharter{Charter: w.digest, Piece: i + 1, Of: of, Text: string(text)})
		if err != nil {
			return err
		}
		ev.Pieces = append(ev.Pieces, seq)
	}
	seq, err := k.node.log.Commit(ctx, ev)
	if err != nil {
		return err
	}
	w.entry, w.acceptedAlong = seq, w.digest
	k.mu.Lock()
	k.now = acceptedPolicy{charter: w.charter, digest: w.digest, entry: w.entry, kept: keep} // the log has it
	k.mu.Unlock()
	if w.cause == causeUnsigned {
		k.node.logger.Warn("the policy got wider without a signature: nobody is enrolled who could sign", "widenings", len(w.widens), "entry", seq)
	}
	return nil
}

// chunks cuts a text between two runes, so that each piece is one by itself.
func chunks(text []byte, size int) (out [][]byte) {
	for len(text) > size {
		n := size
		for n > 0 && text[n]&0xC0 == 0x80 {
			n--
		}
		out, text = append(out, text[:n]), text[n:]
	}
	return append(out, text)
}

func listed(ws []charter.Widening) []string {
	words := make([]string, len(ws))
	for i, w := range ws {
		words[i] = w.String()
	}
	if len(words) == 0 {
		return nil
	}
	return approval.Listed(words)
}

// settle remembers what record wrote. asked is who wants what is held; nobody is a rule.
func (k *charters) settle(ctx context.Context, w *weighed, asked string) {
	keep, err := w.file.Kept()
	k.mu.Lock()
	if !w.held && err == nil {
		k.now.kept = keep // the same policy, said in another way perhaps
	}
	switch {
	case !w.held:
		k.held, k.asking, k.approved = nil, "", false
	case k.held == nil || k.held.digest != w.digest:
		k.held, k.approved = &heldPolicy{cfg: w.file, digest: w.digest, widens: w.widens, changes: charter.Compare(k.now.charter, w.charter), since: time.Now().UTC()}, false
		k.asking = ruleOr(asked)
	default:
		k.held.cfg, k.asking = w.file, ruleOr(asked)
	}
	now := k.now
	k.restated = time.Now()
	k.mu.Unlock()
	if err == nil {
		err = k.save(ctx, now)
	}
	if err != nil {
		k.node.logger.Warn("the accepted policy is in the log and could not be kept in the state", "error", err)
	}
}

func ruleOr(person string) string {
	if person == "" {
		return ruleWidening
	}
	return person
}

// storedCharter is the value in the state.
type storedCharter struct {
	Charter string `json:"charter"`
	Entry   uint64 `json:"entry"`
	Kept    string `json:"kept,omitempty"`
}

func (k *charters) save(ctx context.Context, now acceptedPolicy) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askEvery)
	defer cancel()
	return errors.Join(k.store(ctx, charterKey, storedCharter{now.digest, now.entry, string(now.kept)}), k.store(ctx, partsKey, storedCharter{Charter: now.digest, Entry: now.entry}))
}

func (k *charters) store(ctx context.Context, key string, v storedCharter) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	item, err := k.node.kv.Get(ctx, key)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	_, err = k.node.kv.Swap(ctx, key, item.Rev, data)
	return err
}

// before gives the last accepted policy that knew all parts, where an earlier version of the program accepted the newest one. What the state says is read in the log.
func (k *charters) before(ctx context.Context) *charter.Charter {
	item, err := k.node.kv.Get(ctx, partsKey)
	var s storedCharter
	if err != nil || json.Unmarshal(item.Data, &s) != nil {
		return nil
	}
	was, err := k.read(ctx, s.Entry)
	if err != nil || was.digest != s.Charter {
		k.node.logger.Warn("the state names an accepted policy that the log does not have", "entry", s.Entry, "error", err)
		return nil
	}
	return &was.charter
}

// restore finds the accepted policy: the newest entry that names it says where it stands in the log. The state adds what the log does not carry, and only if it is about
// that very policy; what it adds is held against the charter's marks before it counts.
func (k *charters) restore(ctx context.Context) error {
	at, found, err := k.newest(ctx)
	if err != nil || !found {
		return err
	}
	now, err := k.read(ctx, at)
	if err != nil {
		return err
	}
	if item, err := k.node.kv.Get(ctx, charterKey); err == nil {
		var s storedCharter
		if json.Unmarshal(item.Data, &s) == nil && s.Charter == now.digest && s.Entry == now.entry {
			now.kept = []byte(s.Kept)
		} else {
			k.node.logger.Warn("the state names another accepted policy than the log; the log counts")
		}
	} else {
		k.node.logger.Warn("the state does not know the accepted policy; it is read from the log", "entry", at)
	}
	if now.charter.Edition < charter.Edition {
		now.known = k.before(ctx)
	}
	k.mu.Lock()
	k.now = now
	k.mu.Unlock()
	return nil
}

// newest reads the log backwards to the last entry that names the accepted policy.
func (k *charters) newest(ctx context.Context) (at uint64, found bool, err error) {
	const batch = 256
	for end := k.node.log.Size(); end > 0; end -= min(end, batch) {
		from := end - min(end, batch)
		list, err := wholeEntries(ctx, k.node.log, from, end)
		if err != nil {
			return 0, false, fmt.Errorf("accepted policy: %w", err)
		}
		for _, e := range slices.Backward(list) {
			switch e.Kind {
			case audit.KindPolicyAccepted:
				return e.Seq, true, nil
			case audit.KindPolicyApplied:
				var p audit.PolicyApplied
				if err := json.Unmarshal(e.Body, &p); err == nil && p.Charter != "" {
					return p.Accepted, true, nil
				}
			}
		}
	}
	return 0, false, nil
}

// wholeEntries reads from..end whole, however many the log gives at once.
func wholeEntries(ctx context.Context, log audit.Log, from, end uint64) (out []audit.Entry, err error) {
	for from < end {
		part, err := log.Entries(ctx, from, int(end-from))
		if err != nil {
			return nil, err
		}
		if len(part) == 0 {
			return nil, fmt.Errorf("the log ends at %d, before its size", from)
		}
		for i := range part {
			part[i].Seq = from + uint64(i)
		}
		out, from = append(out, part...), from+uint64(len(part))
	}
	return out, nil
}

// read puts the accepted policy together out of its pieces.
func (k *charters) read(ctx context.Context, at uint64) (now acceptedPolicy, err error) {
	one := func(seq uint64, kind audit.Kind, into any) error {
		list, err := wholeEntries(ctx, k.node.log, seq, seq+1)
		if err == nil && list[0].Kind != kind {
			err = fmt.Errorf("entry %d is %s and not %s", seq, list[0].Kind, kind)
		}
		if err == nil {
			err = json.Unmarshal(list[0].Body, into)
		}
		return err
	}
	var ev audit.PolicyAccepted
	if err := one(at, audit.KindPolicyAccepted, &ev); err != nil {
		return now, fmt.Errorf("accepted policy: %w", err)
	}
	var text []byte
	for _, seq := range ev.Pieces {
		var p audit.PolicyCharter
		if err := one(seq, audit.KindPolicyCharter, &p); err != nil {
			return now, fmt.Errorf("accepted policy: %w", err)
		}
		text = append(text, p.Text...)
	}
	if charter.Digest(text) != ev.Charter {
		return now, fmt.Errorf("accepted policy: the text in the log is not the one that entry %d names", at)
	}
	now = acceptedPolicy{digest: ev.Charter, entry: at}
	now.charter, err = charter.Parse(text)
	return now, err
}

// ref names the accepted policy for an entry.
func (k *charters) ref() (digest string, entry uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now.digest, k.now.entry
}

// holding is what waits for people, and the digest of what counts meanwhile.
func (k *charters) holding() (h *heldPolicy, accepted string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held, k.now.digest
}

// void says of a ticket that it asks for another policy than the one that waits, or upon another one than counts.
func (k *charters) void(t approval.Ticket) bool {
	h, accepted := k.holding()
	c := t.Plan.Change
	return c != nil && (h == nil || c.To != h.digest || c.From != accepted)
}
