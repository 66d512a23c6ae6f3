package audit

// KindInventoryJudged is the kind of InventoryJudged.
const KindInventoryJudged Kind = "inventory.judged"

// InventoryJudged says where an endpoint outside the call path was found, and what the policy says of that: when it is seen for the first time, when it is found in
// another place or judged otherwise, when its declaration changed, and when its name stops or begins to lead anywhere.
type InventoryJudged struct {
	Entry     string            `json:"entry"`
	Purpose   string            `json:"purpose"`  // crm, idp, bucket, ...
	Endpoint  string            `json:"endpoint"` // host and port
	Verdict   string            `json:"verdict"`  // deny | unprovable | hold | unknown | permit: the strictest of its addresses
	Before    string            `json:"before"`   // the verdict that it had
	Ground    string            `json:"ground"`
	Why       string            `json:"why"`
	Region    string            `json:"declared_region,omitempty"`
	Countries []string          `json:"declared_countries"`
	Contract  string            `json:"contract_ref,omitempty"`
	Parent    string            `json:"parent_country,omitempty"` // of the ultimate parent of who runs it
	Support   []string          `json:"support_countries,omitempty"`
	Answers   []InventoryAnswer `json:"answers"`
	Failure   string            `json:"failure,omitempty"` // why its name leads nowhere; answers are then the last ones known
}

// InventoryAnswer is one address of such an endpoint.
type InventoryAnswer struct {
	Addr       string   `json:"addr"`
	Region     string   `json:"region,omitempty"`
	Countries  []string `json:"countries"` // that are declared for the address; none: it is in no declared place
	Verdict    string   `json:"verdict"`
	Ground     string   `json:"ground"`
	Legal      string   `json:"legal_standing"`
	Instrument string   `json:"instrument,omitempty"`
	Standing   string   `json:"evidence_standing"`
	SPKI       string   `json:"peer_spki_sha256,omitempty"`
}

func (InventoryJudged) Kind() Kind { return KindInventoryJudged }
