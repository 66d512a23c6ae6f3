package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sip/trace"
)

// Tracer is what the door needs to show a call. by is the id of a person; the log gets a pseudonym.
type Tracer interface {
	Find(key string, since int) (trace.Trace, bool)
	// Media takes the headers of the RTP packets of a live call for d, or until ctx ends.
	Media(ctx context.Context, id string, d time.Duration) ([]trace.RTP, error)
	// Told writes into the log that somebody looks, before anything is shown.
	Told(ctx context.Context, r audit.TraceRead, by string) error
}

// ErrNoMedia says that a call has no media that could be watched: it ended, it was never answered, or somebody watches it already.
var ErrNoMedia = errors.New("no media to watch")

// maxWatch bounds how long one request watches media: its answer has to leave before the connection's time is over.
const maxWatch = 45 * time.Second

// toldFor is how long one reading of one call by one person is one access, however often it is asked for meanwhile: a ladder that is followed is one.
const toldFor = 10 * time.Minute

// readings remembers who was told of.
type readings struct {
	mu   sync.Mutex
	told map[audit.TraceRead]time.Time // By is the person's id here
}

// known says whether the log has this reading already.
func (r *readings) known(a audit.TraceRead, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.told[a]
	return ok && now.Sub(t) < toldFor
}

// remember is called when the log has it.
func (r *readings) remember(a audit.TraceRead, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.told) >= 1000 || r.told == nil { // forgetting tells once too often, never too seldom
		r.told = map[audit.TraceRead]time.Time{}
	}
	r.told[a] = now
}

// trace shows the messages of one call as JSON or as a capture file.
func (s *Server) trace(w http.ResponseWriter, r *http.Request, id Identity) error {
	q := r.URL.Query()
	since, watch, form, err := traceQuery(q.Get("since"), q.Get("media"), q.Get("format"))
	if err != nil {
		return err
	}
	if q.Get("content") != "" {
		return &Problem{
			Status: http.StatusForbidden, Title: "the content of calls is not captured",
			Detail: "what people say is taken by a recorder alone, under the rules of recording, and this node has none", Hint: "take the headers: format=pcap&media=30s",
		}
	}
	if s.c.Tracer == nil {
		return &Problem{Status: http.StatusNotFound, Title: "no calls are remembered", Hint: "trace.off is set in the configuration"}
	}
	t, ok := s.c.Tracer.Find(r.PathValue("ref"), since)
	if !ok {
		return &Problem{Status: http.StatusNotFound, Title: "no such call is remembered", Hint: "GET /api/v1/calls lists the live ones; ended ones are kept for trace.keep"}
	}
	if err := s.told(r.Context(), audit.TraceRead{CallRef: t.Ref, By: id.Person, Form: form, Masked: t.Masked, Media: int(watch.Seconds())}); err != nil {
		return err
	}
	if form == "ladder" {
		return writeJSON(w, t)
	}
	return s.capture(w, r, t, watch)
}

func traceQuery(since, media, format string) (n int, watch time.Duration, form string, err error) {
	bad := func(what, hint string) error { return &Problem{Status: http.StatusBadRequest, Title: what, Hint: hint} }
	if since != "" {
		if n, err = strconv.Atoi(since); err != nil || n < 0 {
			return 0, 0, "", bad("since is no number", "the seq of the last event that you have")
		}
	}
	switch format {
	case "", "json":
		form = "ladder"
	case "pcap":
		form = "capture"
	default:
		return 0, 0, "", bad("unknown format", "json or pcap")
	}
	if media != "" {
		if watch, err = time.ParseDuration(media); err != nil || watch < time.Second || watch > maxWatch || form != "capture" {
			return 0, 0, "", bad("media cannot be watched like that", fmt.Sprintf("format=pcap and 1s to %s", maxWatch))
		}
	}
	return n, watch, form, nil
}

// told writes the access into the log once; who asks again before the log has it is written down as well. What cannot be written is not shown.
func (s *Server) told(ctx context.Context, a audit.TraceRead) error {
	if s.readings.known(a, time.Now()) {
		return nil
	}
	noted := a
	noted.By = ""
	if err := s.c.Tracer.Told(ctx, noted, a.By); err != nil {
		return err
	}
	s.readings.remember(a, time.Now())
	return nil
}

func (s *Server) capture(w http.ResponseWriter, r *http.Request, t trace.Trace, watch time.Duration) error {
	var media []trace.RTP
	if watch > 0 {
		var err error
		if media, err = s.c.Tracer.Media(r.Context(), t.ID, watch); err != nil {
			if errors.Is(err, ErrNoMedia) {
				return &Problem{Status: http.StatusConflict, Title: "there is no media to watch", Detail: "the call ended, or is not answered, or somebody watches it"}
			}
			return err
		}
		if later, ok := s.c.Tracer.Find(t.Ref, 0); ok { // what was signalled meanwhile
			t = later
		}
	}
	var file bytes.Buffer
	if err := trace.WritePCAP(&file, t, media); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/vnd.tcpdump.pcap")
	_, err := w.Write(file.Bytes())
	return err
}
