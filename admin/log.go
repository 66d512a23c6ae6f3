package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// entries pages through the log: ?from=INDEX&max=N&kind=PREFIX.
func (s *Server) entries(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q := r.URL.Query()
	from, err := number(q.Get("from"), 0)
	if err != nil {
		return err
	}
	limit, err := number(q.Get("max"), 100)
	if err != nil {
		return err
	}
	list, err := s.c.Log.Entries(r.Context(), from, int(min(limit, 1000)))
	if err != nil {
		return err
	}
	type row struct {
		Seq uint64 `json:"seq"`
		audit.Entry
	}
	out := []row{}
	for _, e := range list {
		if strings.HasPrefix(string(e.Kind), q.Get("kind")) {
			out = append(out, row{e.Seq, e})
		}
	}
	return writeJSON(w, map[string]any{"entries": out, "next": from + uint64(len(list)), "size": s.c.Log.Size()})
}

func number(s string, def uint64) (uint64, error) {
	if s == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, &Problem{Status: http.StatusBadRequest, Title: "not a number", Detail: s}
	}
	return n, nil
}

func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request, _ Identity) error {
	cp, err := s.c.Log.Checkpoint(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(cp) // the client is gone if this fails
	return nil
}

// signed is the newest checkpoint, and how many entries it covers.
func (s *Server) signed(ctx context.Context) (note string, size uint64, err error) {
	cp, err := s.c.Log.Checkpoint(ctx)
	if err != nil {
		return "", 0, err
	}
	lines := strings.SplitN(string(cp), "\n", 3) // C2SP tlog-checkpoint: origin, size, root
	if len(lines) < 3 {
		return "", 0, errors.New("admin: the checkpoint has no size")
	}
	size, err = strconv.ParseUint(lines[1], 10, 64)
	return string(cp), size, err
}

// proof gives an entry's inclusion proof in the tree of the newest signed checkpoint, and that checkpoint: a proof in a tree that nobody signed proves nothing.
func (s *Server) proof(w http.ResponseWriter, r *http.Request, _ Identity) error {
	seq, err := number(r.PathValue("seq"), 0)
	if err != nil {
		return err
	}
	if have := s.c.Log.Size(); seq >= have {
		return &Problem{Status: http.StatusNotFound, Title: "no such entry", Detail: "the log has " + strconv.FormatUint(have, 10) + " entries"}
	}
	note, size, err := s.signed(r.Context())
	if err != nil {
		return err
	}
	if seq >= size {
		return &Problem{
			Status: http.StatusConflict, Title: "no signed checkpoint covers the entry yet", Detail: "the newest covers " + strconv.FormatUint(size, 10) + " entries",
			Hint: "ask again in a moment",
		}
	}
	p, err := s.c.Log.Inclusion(r.Context(), seq, size)
	if err != nil {
		return err
	}
	return writeJSON(w, Proof{Seq: &seq, Size: size, Proof: p, Checkpoint: note})
}

// Proof is an inclusion proof of one entry, or a consistency proof of two sizes (From and Size), in the tree of Size. Checkpoint is the signed checkpoint of
// that very size; a consistency proof toward an older size has none.
type Proof struct {
	Seq        *uint64  `json:"seq,omitempty"`
	From       uint64   `json:"from,omitempty"`
	Size       uint64   `json:"size"`
	Proof      [][]byte `json:"proof"`
	Checkpoint string   `json:"checkpoint,omitempty"`
}

// consistency proves that the tree of ?from is the beginning of that of ?to, by default that of the newest signed checkpoint.
func (s *Server) consistency(w http.ResponseWriter, r *http.Request, _ Identity) error {
	note, size, err := s.signed(r.Context())
	if err != nil {
		return err
	}
	q := r.URL.Query()
	from, err := number(q.Get("from"), 0)
	if err != nil {
		return err
	}
	to, err := number(q.Get("to"), size)
	if err != nil {
		return err
	}
	if from == 0 || from > to || to > size {
		return &Problem{
			Status: http.StatusBadRequest, Title: "from and to are sizes of the tree, 1 <= from <= to",
			Detail: "the newest signed checkpoint covers " + strconv.FormatUint(size, 10) + " entries",
		}
	}
	p, err := s.c.Log.Consistency(r.Context(), from, to)
	if err != nil {
		return err
	}
	if p == nil {
		p = [][]byte{} // of a tree with itself: nothing is needed
	}
	out := Proof{From: from, Size: to, Proof: p}
	if to == size {
		out.Checkpoint = note
	}
	return writeJSON(w, out)
}

// FailoverView is one failover.* entry: what was done about a failure.
type FailoverView struct {
	Seq  uint64     `json:"seq"`
	At   time.Time  `json:"time_utc"`
	What audit.Kind `json:"record_type"`
	audit.Failover
}

// recent follows the log as far as somebody asks, and keeps the newest failovers. The zero value is ready.
type recent struct {
	mu   sync.Mutex
	next uint64 // the first entry that was not read
	list []FailoverView
}

// Bounds of recent.
const (
	recentKept = 3
	recentScan = 4096 // entries that one question reads at most
	recentPage = 512
)

// last gives the newest failovers, oldest first. On error it gives those that it knows.
func (n *recent) last(ctx context.Context, l audit.Log) ([]FailoverView, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	size := l.Size()
	if size > recentScan {
		n.next = max(n.next, size-recentScan)
	}
	for n.next < size {
		list, err := l.Entries(ctx, n.next, recentPage)
		if err != nil || len(list) == 0 {
			return slices.Clone(n.list), err
		}
		for _, e := range list {
			n.next = e.Seq + 1
			if !strings.HasPrefix(string(e.Kind), "failover.") {
				continue
			}
			v := FailoverView{Seq: e.Seq, At: e.Time, What: e.Kind}
			if err := json.Unmarshal(e.Body, &v.Failover); err != nil {
				return slices.Clone(n.list), err
			}
			if v.Drill != "" {
				continue // done in the view of a canary drill: no route of production changed
			}
			n.list = append(n.list, v)
		}
		n.list = n.list[max(0, len(n.list)-recentKept):]
	}
	return append([]FailoverView{}, n.list...), nil
}
