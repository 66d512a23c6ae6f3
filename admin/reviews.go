package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/review"
)

// Reviews is what the door needs of the periodic reviews. person is the id of who hands one in.
type Reviews interface {
	Standings() []review.Standing // never waits
	Past(ctx context.Context) ([]review.Past, error)
	Show(ctx context.Context, k review.Kind) (review.File, error)
	Take(ctx context.Context, s review.Signed, person string) (audit.ReviewSigned, uint64, error)
}

func (s *Server) reviewRoutes() []route {
	reviewers := append([]string{approval.RoleAuditor, "operator", "dpo"}, deciders()...) // who hands one in; whose review counts is another question
	return []route{
		{"GET /api/v1/reviews", "org.read", nil, s.reviews},
		{"GET /api/v1/reviews/{kind}", "org.read", nil, s.reviewShow},
		{"POST /api/v1/reviews", "", reviewers, s.reviewTake},
	}
}

// ReviewList is where each review stands, and those that were signed.
type ReviewList struct {
	Reviews []review.Standing `json:"reviews"`
	Past    []review.Past     `json:"past"` // the oldest first
	People  map[string]string `json:"people,omitempty"`
}

// ReviewDocument is a document to review, and who its pseudonyms are: those stand beside it, and in no log.
type ReviewDocument struct {
	File   review.File       `json:"file"`
	People map[string]string `json:"people,omitempty"`
}

// ReviewTaken is a review that counts.
type ReviewTaken struct {
	Entry uint64 `json:"entry"`
	audit.ReviewSigned
}

func (s *Server) noReviews() error {
	if s.c.Reviews == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node keeps no reviews"}
	}
	return nil
}

func (s *Server) standings() []review.Standing {
	if s.c.Reviews == nil {
		return []review.Standing{}
	}
	return append([]review.Standing{}, s.c.Reviews.Standings()...)
}

func (s *Server) reviews(w http.ResponseWriter, r *http.Request, id Identity) error {
	if err := s.noReviews(); err != nil {
		return err
	}
	patient(w)
	past, err := s.c.Reviews.Past(r.Context())
	if err != nil {
		return err
	}
	v := ReviewList{Reviews: s.standings(), Past: append([]review.Past{}, past...)}
	var who []string
	for _, p := range past {
		who = append(who, p.By)
	}
	for _, x := range v.Reviews {
		who = append(who, x.Waits...)
	}
	v.People = s.names(id, who)
	return writeJSON(w, v)
}

func (s *Server) reviewShow(w http.ResponseWriter, r *http.Request, id Identity) error {
	if err := s.noReviews(); err != nil {
		return err
	}
	k := review.Kind(r.PathValue("kind"))
	if k != review.Filter && k != review.Access {
		return &Problem{Status: http.StatusNotFound, Title: "no such review", Hint: "filter or access"}
	}
	patient(w)
	f, err := s.c.Reviews.Show(r.Context(), k)
	if err != nil {
		return err
	}
	return writeJSON(w, ReviewDocument{f, s.names(id, pseudonyms(&f.Document))})
}

// pseudonyms are those that a document names.
func pseudonyms(d *review.Document) (out []string) {
	if d.Previous != nil {
		out = append(out, d.Previous.By)
	}
	for _, i := range d.Items {
		out = append(append(out, i.By), i.Signed...)
		for _, word := range strings.Fields(strings.ReplaceAll(i.ID+" "+i.Value, ",", " ")) {
			if strings.HasPrefix(word, "p-") {
				out = append(out, word)
			}
		}
	}
	for _, g := range d.Gone {
		_, who, _ := strings.Cut(g.ID, " ")
		out = append(out, g.By, who)
	}
	return out
}

func (s *Server) reviewTake(w http.ResponseWriter, r *http.Request, id Identity) error {
	if err := s.noReviews(); err != nil {
		return err
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return &Problem{Status: http.StatusRequestEntityTooLarge, Title: "the review is too long", Detail: err.Error()}
	}
	patient(w)
	var ev audit.ReviewSigned
	var seq uint64
	x, err := review.ReadSigned(raw)
	if err == nil {
		ev, seq, err = s.c.Reviews.Take(r.Context(), x, id.Person)
	}
	var no *review.Refusal
	if errors.As(err, &no) {
		return &Problem{Status: http.StatusConflict, Title: "the review was not taken", Detail: no.What, Hint: no.Hint}
	}
	if err != nil {
		return err
	}
	return writeJSON(w, ReviewTaken{seq, ev})
}
