package cosign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
)

// maxLines bounds the signatures of one answer that are looked at: a witness has few keys.
const maxLines = 16

// asked is one witness. In a round the goroutine that asks it owns it.
type asked struct {
	to   Poster
	name string
	key  string      // its own, in note verifier form
	keys *proof.Keys // the log's, and its own, with which it must have signed; changed between two rounds alone

	old  uint64    // what it signed last, as far as is known: it says so when that is wrong
	line []byte    // its signature of the checkpoint that is asked for
	wait int       // rounds until it is asked again, after a failure
	next time.Time // not before
	why  string    // the newest failure; empty after a signature
	seen uint64    // entries of the largest checkpoint that it says that it signed; 0: it has said nothing
	fork bool      // it says that it signed another checkpoint of the size that it was asked for
}

func newAsked(w Witness) (*asked, error) {
	v, err := proof.NewWitnessVerifier(w.Key)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	if w.To == nil {
		return nil, fmt.Errorf("cosign: no way to the witness %s", v.Name())
	}
	return &asked{to: w.To, name: v.Name(), key: w.Key}, nil
}

// refusal is an answer that is none of those that lead on.
type refusal struct{ error }

// ask asks one witness, and notes what came of it.
func (a *Asker) ask(ctx context.Context, w *asked, now time.Time) {
	err := a.submit(ctx, w)
	result := "signed"
	var refused refusal
	switch {
	case err == nil:
		w.wait, w.next, w.why = 0, time.Time{}, ""
		a.c.Metrics.requests.WithLabelValues(w.name, result).Inc()
		return
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return // we are being stopped: that says nothing of the witness
	case errors.Is(err, sovereign.ErrFenced):
		result = "fenced"
	case errors.As(err, &refused):
		result = "refused"
	default:
		result = "failed"
	}
	a.c.Metrics.requests.WithLabelValues(w.name, result).Inc()
	if w.why == "" { // the others are told by the metric
		a.c.Logger.Warn("a witness did not sign", "witness", w.name, "error", err)
	}
	w.why = short(err.Error())
	w.wait = min(max(1, 2*w.wait), maxBackoff)
	w.next = now.Add(time.Duration(w.wait) * a.c.Every)
}

// short bounds a reason, at the end of a letter.
func short(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxWhy)], "") }

// submit posts the checkpoint, and once more when the witness remembers another size than we thought.
func (a *Asker) submit(ctx context.Context, w *asked) error {
	for range 2 {
		body, err := a.addition(ctx, w.old)
		if err != nil {
			return err
		}
		answer, err := a.post(ctx, w, body)
		if err != nil {
			return err
		}
		switch answer.Status {
		case http.StatusOK:
			if w.line, err = a.take(w, answer.Body); err != nil {
				return refusal{err}
			}
			w.old, w.seen = a.cp.Size, a.cp.Size
			return nil
		case http.StatusConflict:
			if err := a.other(w, answer); err != nil {
				return refusal{err}
			}
		default:
			return refusal{fmt.Errorf("it answered %d", answer.Status)}
		}
	}
	return refusal{errors.New("it names another size each time")}
}

func (a *Asker) post(ctx context.Context, w *asked, body []byte) (notify.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, a.c.Timeout)
	defer cancel()
	return w.to.Post(ctx, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body)
}

// addition is the request for a witness that signed a checkpoint of old entries last.
func (a *Asker) addition(ctx context.Context, old uint64) ([]byte, error) {
	add := proof.Addition{Old: old, Checkpoint: a.raw}
	if old > 0 && old < a.cp.Size {
		raw, err := a.c.Log.Consistency(ctx, old, a.cp.Size)
		if err == nil {
			add.Hashes, err = proof.Hashes(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("the proof from %d entries: %w", old, err)
		}
	}
	return add.Marshal(), nil
}

// other reads which size the witness remembers, where it is not the one that was named.
func (a *Asker) other(w *asked, answer notify.Answer) error {
	if kind, _, err := mime.ParseMediaType(answer.Type); err != nil || kind != proof.SizeType {
		return errors.New("it answered 409 without a size")
	}
	size, err := proof.ParseSize(answer.Body)
	if err != nil {
		return err
	}
	w.seen = size
	switch named := w.old; {
	case size > a.cp.Size:
		return fmt.Errorf("it has signed %d entries of this log, which has %d: the log was rolled back, or has two histories", size, a.cp.Size)
	case size == named && size == a.cp.Size:
		w.fork = true
		return fmt.Errorf("it has signed another checkpoint of %d entries: the log has two histories", size)
	case size == named:
		return errors.New("it answered 409 and names the size that it was given")
	}
	w.old = size
	return nil
}

// take finds the signature of the witness in its answer. Those of keys that nobody asked for are left out.
func (a *Asker) take(w *asked, body []byte) ([]byte, error) {
	n := 0
	for line := range bytes.Lines(body) {
		if n++; n > maxLines {
			break
		}
		signed := append(bytes.Clone(a.raw), line...)
		if _, err := w.keys.Open(signed); err == nil {
			return bytes.Clone(line), nil
		}
	}
	return nil, errors.New("it answered without a signature of its key that holds")
}
