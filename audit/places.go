package audit

// PlaceContradicted says that evidence speaks against the declared place of an address, or that what speaks against it changed.
type PlaceContradicted struct {
	Party     string     `json:"party"`    // trunk, edge group or inventory entry
	Addr      string     `json:"endpoint"` // address
	Region    string     `json:"declared_region,omitempty"`
	Countries []string   `json:"declared_countries"`
	Standing  string     `json:"standing"` // contradicted (rank 1 or 2) | doubted (rank 3 or 4)
	Effect    string     `json:"effect"`   // held: nothing is sent there | alarm
	Why       string     `json:"why"`
	Evidence  []Evidence `json:"evidence"`
}

// PlaceCleared says that nothing speaks against the declared place of an address any more: another declaration, another feed, another position of the node.
type PlaceCleared struct {
	Party     string   `json:"party"`
	Addr      string   `json:"endpoint"` // address
	Region    string   `json:"declared_region,omitempty"`
	Countries []string `json:"declared_countries"`
	Why       string   `json:"why"`
}

// PlaceDrifted says that something about where a party is, is new: it refuses nothing, and each value is told once.
type PlaceDrifted struct {
	What    string   `json:"what"` // prefix: its name leads there | tls_identity: it shows it | country: a place of its address, which its declaration does not name
	Party   string   `json:"party"`
	Subject string   `json:"subject"` // host name or address
	Before  []string `json:"before"`  // what was known, the newest last
	After   []string `json:"after"`   // what is new
}

func (PlaceContradicted) Kind() Kind { return KindPlaceContradicted }
func (PlaceCleared) Kind() Kind      { return KindPlaceCleared }
func (PlaceDrifted) Kind() Kind      { return KindPlaceDrifted }

// decodePlace is Decode for what is about places.
func decodePlace(e Entry) (Event, error) {
	switch e.Kind {
	case KindPlaceContradicted:
		return decodeAs[PlaceContradicted](e)
	case KindPlaceCleared:
		return decodeAs[PlaceCleared](e)
	}
	return decodeAs[PlaceDrifted](e)
}
