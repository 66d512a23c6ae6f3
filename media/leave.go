package media

// Leave has the end of Run leave the sessions as they are: where another process carries their packets, they go on there until somebody takes them up (Readopt).
func (r *Relay) Leave() { r.left.Store(true) }
