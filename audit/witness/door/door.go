// Package door is a witness over HTTP, C2SP tlog-witness: logs post their newer checkpoints, and get them back cosigned.
//
// The one call is POST /add-checkpoint. Who calls is not asked: the signature of the log on its checkpoint is what counts, and a checkpoint says nothing
// of entries. What is signed is on the disk before the answer leaves, and of each log one request is judged at a time. Requests are bounded in size, time
// and number. It opens no connection, and imports the memory of a witness and the files of proofs.
package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/witness"
)

// Config of a Door. State, By and Logs are required.
type Config struct {
	State  *witness.State
	By     *proof.Cosigner
	Logs   []string // public keys of the logs that are watched, in note verifier form; one for each origin
	Now    func() time.Time
	Logger *slog.Logger
}

const (
	atOnce      = 64 // requests that are read or judged
	headerTime  = 5 * time.Second
	readTime    = 10 * time.Second
	writeTime   = 20 * time.Second // from the end of the header on, so that it holds the reading, too
	idleTime    = 2 * time.Minute
	closingTime = 5 * time.Second
	maxHeader   = 16 << 10
)

// Door is the handler.
type Door struct {
	c     Config
	logs  map[string]*watched // by origin
	mux   *http.ServeMux
	slots chan struct{}
}

// watched is one log. Its lock is held from the look at what was signed last until the next signature is on the disk.
type watched struct {
	vkey string
	keys *proof.Keys

	mu   sync.Mutex
	fork string // the text of the newest checkpoint that showed one, so that a repeated request tells of it once
}

// New checks c.
func New(c Config) (*Door, error) {
	if c.State == nil || c.By == nil || len(c.Logs) == 0 {
		return nil, errors.New("door: a state, a key and at least one log are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Door{c: c, logs: map[string]*watched{}, mux: http.NewServeMux(), slots: make(chan struct{}, atOnce)}
	for _, vkey := range c.Logs {
		k, err := proof.NewKeys(vkey, []string{c.By.VerifierKey()}, 0)
		if err != nil {
			return nil, fmt.Errorf("door: %w", err)
		}
		switch origin := k.Origin(); {
		case d.logs[origin] != nil:
			return nil, fmt.Errorf("door: two keys for the log %s", origin)
		case origin == c.By.Name():
			return nil, fmt.Errorf("door: the log %s has the name of the witness", origin)
		default:
			d.logs[origin] = &watched{vkey: vkey, keys: k}
		}
	}
	d.mux.HandleFunc("POST /add-checkpoint", d.add)
	return d, nil
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }

// Serve answers on l until ctx ends, and then lets those finish who wait for an answer. It closes l.
func (d *Door) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler: d, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(d.c.Logger.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("door: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	err := s.Shutdown(stopping)
	if err != nil {
		err = errors.Join(fmt.Errorf("door: closing: %w", err), s.Close())
	}
	<-done
	return err
}

// answer is what a request gets.
type answer struct {
	status int
	kind   string // of the body; empty: plain text for people
	body   []byte
}

func refuse(status int, format string, a ...any) answer {
	return answer{status: status, body: fmt.Appendf(nil, format+"\n", a...)}
}

// add is the call.
func (d *Door) add(w http.ResponseWriter, r *http.Request) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, proof.MaxAddition))
	var big *http.MaxBytesError
	var a answer
	switch {
	case errors.As(err, &big):
		a = refuse(http.StatusRequestEntityTooLarge, "more than %d bytes", proof.MaxAddition)
	case err != nil:
		a = refuse(http.StatusBadRequest, "the request broke off")
	default:
		a = d.judge(raw)
	}
	if a.kind == "" {
		a.kind = "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // who asked asks again when the answer is lost
}

// judge answers a request. The order of its questions is that of C2SP tlog-witness, add-checkpoint.
func (d *Door) judge(raw []byte) answer {
	a, claim, err := proof.ParseAddition(raw)
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	l := d.logs[claim.Origin]
	if l == nil {
		return refuse(http.StatusNotFound, "the log is not watched here")
	}
	if a.Checkpoint, err = l.keys.Own(a.Checkpoint); err != nil {
		return refuse(http.StatusForbidden, "%v", err)
	}
	if a.Old > claim.Size {
		return refuse(http.StatusBadRequest, "old %d is larger than the checkpoint, which stands for %d entries", a.Old, claim.Size)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return d.sign(l, a, claim)
}

// sign cosigns what goes on from the last checkpoint that was signed. l is locked.
func (d *Door) sign(l *watched, a proof.Addition, claim proof.Checkpoint) answer {
	last, err := d.c.State.Last(l.vkey, d.c.By)
	var was proof.Checkpoint
	if err == nil && len(last) > 0 {
		was, err = l.keys.Past().Open(last)
	}
	if err != nil {
		return d.failed(claim.Origin, err)
	}
	switch {
	case a.Old != was.Size:
		return conflict(was.Size)
	case a.Old == 0 && len(a.Hashes) > 0:
		return refuse(http.StatusUnprocessableEntity, "expected no hashes with old 0, found %d", len(a.Hashes))
	}
	file := a.Checkpoint
	if was.Size > 0 && (claim.Size > was.Size || len(a.Hashes) > 0) {
		file = proof.Consistency{From: last, To: a.Checkpoint, Hashes: a.Hashes}.Marshal()
	}
	signed, err := d.c.State.Cosign(file, l.vkey, d.c.By, d.c.Now())
	var fork *witness.Fork
	switch {
	case errors.As(err, &fork):
		d.forked(l, claim, fork)
		return conflict(was.Size)
	case errors.Is(err, witness.ErrUnproved), errors.Is(err, witness.ErrOutOfStep):
		return refuse(http.StatusUnprocessableEntity, "%v", err)
	case err != nil:
		return d.failed(claim.Origin, err)
	}
	d.c.Logger.Info("signed", "log", claim.Origin, "entries", claim.Size)
	return answer{status: http.StatusOK, body: signed[len(a.Checkpoint):]}
}

// conflict says which size is remembered.
func conflict(size uint64) answer {
	return answer{status: http.StatusConflict, kind: proof.SizeType, body: append(strconv.AppendUint(nil, size, 10), '\n')}
}

// failed is for what is wrong here and not with the request: the reason stays here.
func (d *Door) failed(origin string, err error) answer {
	d.c.Logger.Error("nothing was signed", "log", origin, "error", err)
	return refuse(http.StatusInternalServerError, "the witness cannot sign now")
}

// forked keeps the evidence of a fork: both checkpoints, signed. l is locked.
func (d *Door) forked(l *watched, claim proof.Checkpoint, f *witness.Fork) {
	if l.fork == claim.Text {
		return
	}
	l.fork = claim.Text
	d.c.Logger.Error("a fork: the log's key has signed two histories; keep both checkpoints", "log", claim.Origin, "signed_before", string(f.First), "shown_now", string(f.Then))
}
