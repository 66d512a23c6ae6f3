package carrier

import "errors"

var errSilent = errors.New("carrier: the call has no media")

// Seal makes of an RTP packet what the other side of the call takes, in the memory behind it where there is room: the packet itself on a plain call. Like Open it is
// for who plays the audio of a call himself, over the sockets that Config.Net gave, with the addresses that Media tells.
func (c *Call) Seal(packet []byte) ([]byte, error) {
	m := read(c, func() *media { return c.media })
	if m == nil {
		return nil, errSilent
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tx == nil {
		return packet, nil
	}
	return m.tx.EncryptRTP(packet[:0], packet, nil)
}

// Open makes an RTP packet of what came from the other side, in the same memory. What is forged, or came before, is an error.
func (c *Call) Open(packet []byte) ([]byte, error) {
	m := read(c, func() *media { return c.media })
	if m == nil {
		return nil, errSilent
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rx == nil {
		return packet, nil
	}
	return m.rx.DecryptRTP(packet[:0], packet, nil)
}
