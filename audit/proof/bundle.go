package proof

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// BundleHeader is the first line of a file that proves many entries under one checkpoint.
const BundleHeader = "cordon/entry-proofs@v1"

// BundleWriter writes such a file, entry by entry.
type BundleWriter struct {
	w       io.Writer
	entries uint64
}

// NewBundleWriter writes what stands in front of the entries.
func NewBundleWriter(w io.Writer, checkpoint []byte) (*BundleWriter, error) {
	if _, err := fmt.Fprintf(w, "%s\ncheckpoint %d\n%s", BundleHeader, len(checkpoint), checkpoint); err != nil {
		return nil, fmt.Errorf("proof: bundle: %w", err)
	}
	return &BundleWriter{w: w}, nil
}

// Add writes one entry. Its own checkpoint is not looked at.
func (b *BundleWriter) Add(e Entry) error {
	if _, err := b.w.Write(e.appendBody(nil)); err != nil {
		return fmt.Errorf("proof: bundle: %w", err)
	}
	b.entries++
	return nil
}

// Close writes the last line, without which the file is known to be cut. The writer stays open.
func (b *BundleWriter) Close() error {
	if _, err := fmt.Fprintf(b.w, "entries %d\n", b.entries); err != nil {
		return fmt.Errorf("proof: bundle: %w", err)
	}
	return nil
}

// BundleReader reads such a file as a stream: of a bundle of any size it holds one entry.
type BundleReader struct {
	r          *bufio.Reader
	checkpoint []byte
	entries    uint64 // that were read
}

// NewBundleReader reads what stands in front of the entries. No signature is looked at.
func NewBundleReader(r io.Reader) (*BundleReader, error) {
	b := &BundleReader{r: bufio.NewReaderSize(r, 64<<10)}
	header, err := b.line(nil, len(BundleHeader)+1)
	if err == nil && string(header) != BundleHeader+"\n" {
		err = fmt.Errorf("line 1: expected %q, found %q", BundleHeader, clip(string(bytes.TrimSuffix(header, []byte("\n")))))
	}
	if err != nil {
		return nil, err
	}
	size, err := b.line(nil, 32)
	if err != nil {
		return nil, err
	}
	l := &lines{rest: size, n: 1}
	n, err := l.number("checkpoint")
	if err != nil {
		return nil, err
	}
	if n > MaxCheckpoint {
		return nil, fmt.Errorf("a checkpoint of %d bytes: the most is %d", n, MaxCheckpoint)
	}
	b.checkpoint = make([]byte, n)
	if _, err := io.ReadFull(b.r, b.checkpoint); err != nil {
		return nil, cutAt("inside the checkpoint", err)
	}
	return b, nil
}

// Checkpoint is the one that all entries stand under, signed.
func (b *BundleReader) Checkpoint() []byte { return b.checkpoint }

// Next gives the bytes of the next entry, of which ParseBundled makes one, and io.EOF behind the last. After any other error nothing more can be read.
func (b *BundleReader) Next() ([]byte, error) {
	raw, err := b.line(nil, MaxFile)
	if err != nil {
		return nil, b.at(err)
	}
	if bytes.HasPrefix(raw, []byte("entries ")) {
		return nil, b.end(raw)
	}
	for begun := 0; len(raw)-begun > 1; { // up to the empty line
		begun = len(raw)
		if raw, err = b.line(raw, MaxFile); err != nil {
			return nil, b.at(err)
		}
	}
	b.entries++
	return raw, nil
}

// end reads the last line, and that nothing follows.
func (b *BundleReader) end(raw []byte) error {
	l := &lines{rest: raw}
	n, err := l.number("entries")
	switch {
	case err != nil:
		return b.at(errors.New("the last line is not " + strconv.Quote("entries "+strconv.FormatUint(b.entries, 10))))
	case n != b.entries:
		return fmt.Errorf("its last line says %d entries, and %d were read: some were dropped or added", n, b.entries)
	}
	if _, err := b.r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("bytes behind its last line, which says %d entries", n)
	}
	return io.EOF
}

// line adds one line and its end to raw, which must not become longer than most.
func (b *BundleReader) line(raw []byte, most int) ([]byte, error) {
	for {
		part, err := b.r.ReadSlice('\n')
		if len(raw)+len(part) > most {
			return nil, fmt.Errorf("expected a line end within %d bytes", most)
		}
		raw = append(raw, part...)
		switch {
		case err == nil:
			return raw, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, cutAt("in a line, or before its last", err)
		}
	}
}

// cutAt says where a file ends that should not; other errors stay what they are.
func cutAt(where string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends " + where)
	}
	return err
}

// at says behind how many entries something is wrong.
func (b *BundleReader) at(err error) error {
	return fmt.Errorf("behind %d entries: %w", b.entries, err)
}

// ParseBundled reads what Next gave, under the bundle's checkpoint.
func ParseBundled(raw, checkpoint []byte) (Entry, error) {
	l := &lines{rest: raw}
	e, err := l.entry()
	switch {
	case err != nil:
		return Entry{}, err
	case len(l.rest) > 0:
		return Entry{}, fmt.Errorf("bytes behind the empty line %d", l.n)
	}
	e.Checkpoint = checkpoint
	return e, nil
}
