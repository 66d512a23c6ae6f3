package audit

import (
	"encoding/json"
	"time"
)

// The kinds of entries about periodic reviews.
const (
	KindReviewText   Kind = "review.text"   // a piece of what was reviewed, or of what was found
	KindReviewSigned Kind = "review.signed" // a person reviewed what is in force
	KindReviewDue    Kind = "review.due"    // one is due soon, or late
)

// ReviewText is a piece of a document of a review or of its findings, in RFC 8785 form: entries have a bound, and documents may be longer.
type ReviewText struct {
	Digest string `json:"digest"` // of the whole text, lower-case hex SHA-256
	What   string `json:"what"`   // document | findings
	Piece  int    `json:"piece"`  // from 1 on
	Of     int    `json:"of"`
	Text   string `json:"text"`
}

// ReviewSigned says that a person looked at what is in force and what was found. RTS (EU) 2024/1774 Art. 13(1)(h) and last subparagraph, Art. 21(e)(iv).
type ReviewSigned struct {
	Review       string          `json:"review"` // filter | access
	Document     string          `json:"document"`
	DocumentPart []uint64        `json:"document_entries"` // review.text
	Findings     string          `json:"findings"`
	FindingsPart []uint64        `json:"findings_entries"`
	Charter      string          `json:"charter"`       // digest of the accepted policy that was reviewed
	Accepted     uint64          `json:"charter_entry"` // index of its policy.accepted
	Made         time.Time       `json:"document_made"`
	Items        int             `json:"items"`
	Keep         int             `json:"keep"`
	Remove       int             `json:"remove"`
	Change       int             `json:"change"`
	People       []string        `json:"people,omitempty"` // of access: pseudonyms whose rights the signer may judge, which are not those of the signer
	By           string          `json:"by"`               // pseudonym
	Role         string          `json:"role"`
	Reason       string          `json:"reason"`
	Auth         string          `json:"auth"`                   // bearer | signature | bearer+signature
	Signature    json.RawMessage `json:"signature,omitempty"`    // sign.SignedReview; absent: by session alone
	HandedIn     string          `json:"handed_in_by,omitempty"` // pseudonym
}

// ReviewDue says that a review is due soon or late. Each warning is told once for each date.
type ReviewDue struct {
	Review string    `json:"review"`
	What   string    `json:"what"` // warning | late
	Due    time.Time `json:"due"`
	Days   int       `json:"days_before,omitempty"` // of a warning: its threshold
}

func (ReviewText) Kind() Kind   { return KindReviewText }
func (ReviewSigned) Kind() Kind { return KindReviewSigned }
func (ReviewDue) Kind() Kind    { return KindReviewDue }

// decodeReview is Decode for what is about periodic reviews, and goes on with that of drills.
func decodeReview(e Entry) (Event, error) {
	switch e.Kind {
	case KindReviewText:
		return decodeAs[ReviewText](e)
	case KindReviewSigned:
		return decodeAs[ReviewSigned](e)
	case KindReviewDue:
		return decodeAs[ReviewDue](e)
	}
	return decodeDrill(e)
}

// ofReviews says whether a kind is one of these.
func (k Kind) ofReviews() bool {
	return k == KindReviewText || k == KindReviewSigned || k == KindReviewDue
}
