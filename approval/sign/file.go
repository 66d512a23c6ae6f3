package sign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cordonsip/cordon/internal/jcs"
)

// MaxFile is the size of the longest signed file that is read, in bytes.
const MaxFile = 64 << 10

// The forms of signed files, as their member "cordon" says.
const (
	DecisionForm  = "gate decision v1"
	EnrolmentForm = "gate enrolment v1"
)

// decisionFile is a signed statement on its way.
type decisionFile struct {
	Form string `json:"cordon"`
	Signed
}

// Form says which file raw is, by its member "cordon".
func Form(raw []byte) (string, error) {
	if len(raw) > MaxFile {
		return "", fmt.Errorf("the file is too large: %d bytes, and the most is %d", len(raw), MaxFile)
	}
	var head struct {
		Form string `json:"cordon"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return "", errors.New("the file is cut, or is no JSON")
	}
	if head.Form != DecisionForm && head.Form != EnrolmentForm {
		return "", fmt.Errorf("%.60q is no form of signed file that this version knows: %q or %q", head.Form, DecisionForm, EnrolmentForm)
	}
	return head.Form, nil
}

// ParseDecision reads the file of a signed statement. Whether the signature fits is another question.
func ParseDecision(raw []byte) (Signed, error) {
	var f decisionFile
	if err := Strict(raw, MaxFile, DecisionForm, &f); err != nil {
		return Signed{}, err
	}
	_, err := f.Statement.text()
	return f.Signed, err
}

// File writes a signed statement as ParseDecision reads it, for people to read, too.
func (s Signed) File() ([]byte, error) { return Indent(decisionFile{DecisionForm, s}) }

// Indent writes a file for people and programs.
func Indent(v any) ([]byte, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	return append(raw, '\n'), err
}

// Strict reads one JSON value of at most limit bytes into v, a pointer to a struct. What v writes must be what was read, to the last member: nothing unknown, nothing left
// out, nothing named twice or in another case, no value in a second form. What a person is shown and what is hashed or signed is then one thing.
func Strict(raw []byte, limit int, form string, v any) error {
	if len(raw) > limit {
		return fmt.Errorf("the file is too large: %d bytes, and the most is %d", len(raw), limit)
	}
	read, err := jcs.Canonical(raw)
	switch {
	case errors.Is(err, jcs.ErrSyntax):
		return errors.New("the file is cut, or is no JSON")
	case err != nil:
		return fmt.Errorf("the file cannot be read in one way alone: %w", err)
	}
	var head struct {
		Form string `json:"cordon"`
	}
	if err := json.Unmarshal(raw, &head); err != nil || head.Form != form {
		return fmt.Errorf("the file is no %q: its member \"cordon\" says %.60q", form, head.Form)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("the file was changed, or a newer version wrote it: %w", err)
	}
	written, err := jcs.Marshal(v)
	if err != nil || !bytes.Equal(written, read) {
		return errors.New("the file was changed: a member is missing, or does not stand in its one form")
	}
	return nil
}
