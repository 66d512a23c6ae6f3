package audit

// NoticeUndelivered says that an outlet did not take a notice and that no further attempt is made by itself: a dead letter. It can be sent again by hand.
type NoticeUndelivered struct {
	Channel string `json:"channel"`
	About   Kind   `json:"about"`          // the kind of the entry that nobody was told of
	Entry   uint64 `json:"entry"`          // its index
	Last    uint64 `json:"last,omitempty"` // of a group: the index of the last of them
	Count   int    `json:"count"`          // entries that the notice spoke of
	Fenced  bool   `json:"fenced"`         // the law or the policy closes the way: nothing was sent
	Failure string `json:"failure"`
}

// NoticeResent says that somebody had a dead letter sent again, and what came of it.
type NoticeResent struct {
	Channel string `json:"channel"`
	Entry   uint64 `json:"entry"`
	By      string `json:"by"`                // pseudonym
	Failure string `json:"failure,omitempty"` // empty: delivered
}

func (NoticeUndelivered) Kind() Kind { return KindNoticeUndelivered }
func (NoticeResent) Kind() Kind      { return KindNoticeResent }

// decodeNotice is Decode for what is about notices, witnesses and places.
func decodeNotice(e Entry) (Event, error) {
	switch e.Kind {
	case KindNoticeUndelivered:
		return decodeAs[NoticeUndelivered](e)
	case KindNoticeResent:
		return decodeAs[NoticeResent](e)
	case KindQuorumMissing:
		return decodeAs[QuorumMissing](e)
	case KindGateReadiness:
		return decodeAs[GateReadiness](e)
	case KindQuorumBack:
		return decodeAs[QuorumBack](e)
	case KindPlaceContradicted, KindPlaceCleared, KindPlaceDrifted, KindPlaceEvidenceStale, KindInventoryJudged:
		return decodePlace(e)
	case KindLawInForce:
		return decodeAs[LawInForce](e)
	case KindLawEnding:
		return decodeAs[LawEnding](e)
	case KindSevered:
		return decodeAs[Severed](e)
	}
	return decodeCopy(e)
}
