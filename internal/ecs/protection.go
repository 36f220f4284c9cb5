// Package ecs talks to AWS ECS and EC2 for a worker: it asks ECS not to stop the task while it works, and watches for EC2's
// notice of a spot interruption.
package ecs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// ErrRefused means that ECS may stop this task, whatever it does: it is no longer the
// service's, or the service has a task too many, or a deployment is replacing it. Such
// a worker must take no work, but may ask again.
var ErrRefused = errors.New("ECS protects this task no longer")

const (
	protectFor = time.Hour // if the worker dies, and its task doesn't
	renewAfter = protectFor / 2
	callTime   = 5 * time.Second
	tries      = 2
)

// Protection is ECS's task scale-in protection, as the agent in the task's own
// network offers it. It keeps autoscaling and deployments away while there is work;
// it helps against neither spot interruptions nor lost hosts. The task's role needs
// ecs:UpdateTaskProtection.
//
// Any number of slots may hold it; it ends with the last one.
type Protection struct {
	url    string
	client *http.Client

	mu      sync.Mutex
	holders int
	since   time.Time
}

// NewProtection uses the agent at the URI that ECS gives its tasks as ECS_AGENT_URI.
func NewProtection(agent string) *Protection {
	return &Protection{url: agent + "/task-protection/v1/state", client: &http.Client{Timeout: callTime}}
}

// Acquire protects the task until Release. After [ErrRefused] nothing is held and no
// work is to be taken; after any other error the task is held, unprotected.
func (p *Protection) Acquire(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holders++
	if p.holders > 1 {
		return nil
	}
	err := p.set(ctx, true)
	switch {
	case err == nil:
		p.since = time.Now()
	case errors.Is(err, ErrRefused):
		p.holders--
	}
	return err
}

// Keep prolongs the protection while it is held, until ctx ends.
func (p *Protection) Keep(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := p.renew(ctx); err != nil {
				failed(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (p *Protection) renew(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holders == 0 || time.Since(p.since) < renewAfter {
		return nil
	}
	err := p.set(ctx, true)
	if err == nil {
		p.since = time.Now()
	}
	return err
}

// Release ends what Acquire began.
func (p *Protection) Release(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holders--
	if p.holders > 0 {
		return nil
	}
	return p.set(ctx, false)
}

/*
The agent's answers. Success and refusal both come with status 200:

	{"protection":{"ExpirationDate":"2026-…","ProtectionEnabled":true,"TaskArn":"arn:…"}}
	{"failure":{"Arn":"arn:…","Detail":null,"Reason":"TASK_NOT_VALID"}}
	{"requestID":"…","error":{"Arn":"arn:…","Code":"AccessDeniedException","Message":"…"}}
*/
type answer struct {
	Protection *struct {
		ProtectionEnabled bool `json:"ProtectionEnabled"`
	} `json:"protection"`
	Failure *struct {
		Reason string `json:"Reason"`
	} `json:"failure"`
	Error *struct {
		Code    string `json:"Code"`
		Message string `json:"Message"`
	} `json:"error"`
}

func (p *Protection) set(ctx context.Context, on bool) (err error) {
	for range tries {
		if err = p.call(ctx, on); err == nil || errors.Is(err, ErrRefused) {
			return err
		}
	}
	return err
}

func (p *Protection) call(ctx context.Context, on bool) error {
	// The agent refuses fields that it doesn't know, and an expiry of what is off.
	request := map[string]any{"ProtectionEnabled": on}
	if on {
		request["ExpiresInMinutes"] = int(protectFor.Minutes())
	}
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("protect task: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, p.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("protect task: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := p.client.Do(r)
	if err != nil {
		return fmt.Errorf("protect task: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("protect task: %w", err)
	}
	var a answer
	switch err := json.Unmarshal(text, &a); {
	case err != nil:
		return fmt.Errorf("protect task: HTTP %d, not JSON: %.100q", response.StatusCode, text)
	case a.Failure != nil:
		return fmt.Errorf("protect task: %w: %s", ErrRefused, a.Failure.Reason)
	case a.Error != nil:
		return fmt.Errorf("protect task: HTTP %d: %s: %s", response.StatusCode, a.Error.Code, a.Error.Message)
	case response.StatusCode != http.StatusOK || a.Protection == nil || a.Protection.ProtectionEnabled != on:
		return fmt.Errorf("protect task: HTTP %d: %.200s", response.StatusCode, text)
	}
	return nil
}
