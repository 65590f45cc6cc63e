-- Version 1 of the schema. A change of anything below is a new version with a schema of its own.
--
-- Locks live in unlogged tables: a change costs no write to the log of the server, and a crash or a failover empties
-- them. What has to survive is in `space`, which is logged.
CREATE SCHEMA IF NOT EXISTS stripe_lock_1;

-- A namespace, and what its clients must agree on.
CREATE TABLE IF NOT EXISTS stripe_lock_1.space (
    id serial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    stripes integer NOT NULL,
    hash text NOT NULL,
    seed uuid NOT NULL DEFAULT gen_random_uuid(),
    longest_ttl interval NOT NULL,
    fences bigint NOT NULL -- the fences of the latest era are above this
);

-- An era ends when the server crashes, because that empties this table.
CREATE UNLOGGED TABLE IF NOT EXISTS stripe_lock_1.era (
    space integer PRIMARY KEY,
    opens timestamptz NOT NULL -- leases of the previous era may last until then
);

-- A process with its lease. It is dead once its row is gone. A call that needs what an expired client holds deletes the
-- row.
CREATE UNLOGGED TABLE IF NOT EXISTS stripe_lock_1.client (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    space integer NOT NULL,
    opens timestamptz NOT NULL,
    expires timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Everything below is changed under the lock of the stripe's row; rows are locked in ascending order of `stripe`.
CREATE UNLOGGED TABLE IF NOT EXISTS stripe_lock_1.stripe (
    space integer,
    stripe integer,
    tail bigint NOT NULL,             -- the highest fence and the highest turn so far
    queued integer NOT NULL DEFAULT 0, -- how many rows `waiter` has for the stripe
    client uuid,                      -- the holder, with its ticket and its fence
    ticket bigint,
    fence bigint,
    PRIMARY KEY (space, stripe)
) WITH (fillfactor = 50);

CREATE UNLOGGED TABLE IF NOT EXISTS stripe_lock_1.waiter (
    space integer,
    stripe integer,
    turn bigint, -- the same in all queues of a ticket, above all turns that were in them
    client uuid NOT NULL,
    ticket bigint NOT NULL,
    stripes integer[] NOT NULL,
    PRIMARY KEY (space, stripe, turn)
);

-- Joins a namespace, creates it if there is none, and begins a new era if the last one ended.
CREATE OR REPLACE FUNCTION stripe_lock_1.join_space(
    a_name text, a_stripes integer, a_hash text, a_ttl interval,
    OUT space integer, OUT client uuid, OUT seed uuid, OUT stripes integer, OUT hash text
) LANGUAGE plpgsql AS $$
DECLARE
    s stripe_lock_1.space;
    v_opens timestamptz;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('stripe_lock_1.' || a_name, 0));
    SELECT * INTO s FROM stripe_lock_1.space k WHERE k.name = a_name;
    IF s.id IS NULL THEN
        v_opens := clock_timestamp();
        INSERT INTO stripe_lock_1.space (name, stripes, hash, longest_ttl, fences)
            VALUES (a_name, a_stripes, a_hash, a_ttl, 0) RETURNING * INTO s;
    END IF;
    space := s.id; seed := s.seed; stripes := s.stripes; hash := s.hash;
    IF s.stripes <> a_stripes OR s.hash <> a_hash THEN
        RETURN;
    END IF;
    IF s.longest_ttl < a_ttl THEN
        UPDATE stripe_lock_1.space k SET longest_ttl = a_ttl WHERE k.id = s.id;
    END IF;
    IF NOT EXISTS (SELECT FROM stripe_lock_1.era e WHERE e.space = s.id) THEN
        -- The clock makes fences rise even if a backup was restored or a standby promoted. The fences of the last era
        -- make them rise even if the clock went back.
        UPDATE stripe_lock_1.space k
            SET fences = greatest(k.fences + (1::bigint << 40), extract(epoch FROM clock_timestamp())::bigint << 30)
            WHERE k.id = s.id RETURNING k.fences INTO s.fences;
        INSERT INTO stripe_lock_1.stripe (space, stripe, tail)
            SELECT s.id, n, s.fences FROM generate_series(0, s.stripes - 1) n;
        INSERT INTO stripe_lock_1.era VALUES (s.id, coalesce(v_opens, clock_timestamp() + greatest(s.longest_ttl, a_ttl)));
    END IF;
    PERFORM stripe_lock_1.delete_expired(array(SELECT c.id FROM stripe_lock_1.client c WHERE c.expires <= clock_timestamp()));
    INSERT INTO stripe_lock_1.client (space, opens, expires)
        SELECT s.id, e.opens, clock_timestamp() + a_ttl FROM stripe_lock_1.era e WHERE e.space = s.id
        RETURNING id INTO client;
END $$;

-- Deletes the clients that have expired. The lock of the row excludes a renewal at the same time. A locked row is left
-- for the next call.
CREATE OR REPLACE FUNCTION stripe_lock_1.delete_expired(a_clients uuid[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM stripe_lock_1.client WHERE id IN (
        SELECT c.id FROM stripe_lock_1.client c
        WHERE c.id = ANY (a_clients) AND c.expires <= clock_timestamp() FOR UPDATE SKIP LOCKED)
$$;

-- Renews the lease of a client. Returns false if the client is dead.
CREATE OR REPLACE FUNCTION stripe_lock_1.renew(a_client uuid, a_ttl interval) RETURNS boolean LANGUAGE sql AS $$
    WITH renewed AS (
        UPDATE stripe_lock_1.client SET expires = clock_timestamp() + a_ttl
        WHERE id = a_client AND expires > clock_timestamp() RETURNING id)
    SELECT count(*) = 1 FROM renewed
$$;

-- Frees the stripes of dead clients, and removes these clients from the queues. The caller has locked the rows of the
-- stripes.
CREATE OR REPLACE FUNCTION stripe_lock_1.clear(a_space integer, a_stripes integer[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_clients uuid[];
BEGIN
    SELECT array_agg(k.client) INTO v_clients FROM (
        SELECT s.client FROM stripe_lock_1.stripe s
            WHERE s.space = a_space AND s.stripe = ANY (a_stripes) AND s.client IS NOT NULL
        UNION SELECT q.client FROM stripe_lock_1.waiter q WHERE q.space = a_space AND q.stripe = ANY (a_stripes)) k
    LEFT JOIN stripe_lock_1.client c ON c.id = k.client
    WHERE c.id IS NULL OR c.expires <= clock_timestamp();
    IF v_clients IS NULL THEN
        RETURN;
    END IF;
    PERFORM stripe_lock_1.delete_expired(v_clients);
    UPDATE stripe_lock_1.stripe s SET client = NULL
        WHERE s.space = a_space AND s.stripe = ANY (a_stripes) AND s.client = ANY (v_clients)
        AND NOT EXISTS (SELECT FROM stripe_lock_1.client c WHERE c.id = s.client);
    DELETE FROM stripe_lock_1.waiter q
        WHERE q.space = a_space AND q.stripe = ANY (a_stripes) AND q.client = ANY (v_clients)
        AND NOT EXISTS (SELECT FROM stripe_lock_1.client c WHERE c.id = q.client);
    PERFORM stripe_lock_1.count_queued(a_space, a_stripes);
END $$;

CREATE OR REPLACE FUNCTION stripe_lock_1.count_queued(a_space integer, a_stripes integer[]) RETURNS void LANGUAGE sql AS $$
    UPDATE stripe_lock_1.stripe s
        SET queued = (SELECT count(*) FROM stripe_lock_1.waiter q WHERE q.space = a_space AND q.stripe = s.stripe)
        WHERE s.space = a_space AND s.stripe = ANY (a_stripes)
$$;

-- Grants the stripes to the first tickets in their queues. The caller has locked the rows of the stripes. A ticket that
-- also needs other stripes is only notified, because their rows would have to be locked out of order. The caller's own
-- ticket gets no message. A message names the ticket, and its fence if it was granted. Each grant has 1,024 fences: one for each hand-over inside the process.
CREATE OR REPLACE FUNCTION stripe_lock_1.serve(a_space integer, a_stripes integer[], a_client uuid, a_ticket bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w stripe_lock_1.waiter;
    v_top bigint;
BEGIN
    PERFORM stripe_lock_1.clear(a_space, a_stripes);
    FOR w IN
        SELECT q.* FROM unnest(a_stripes) n,
            LATERAL (SELECT f.* FROM stripe_lock_1.waiter f
                     WHERE f.space = a_space AND f.stripe = n ORDER BY f.turn LIMIT 1) q
    LOOP
        -- Null unless all its stripes are free and it is the first in each. The same ticket may be the first of several
        -- stripes, and may have been served by now: then they are not free.
        SELECT max(s.tail) INTO v_top FROM stripe_lock_1.stripe s
            WHERE s.space = a_space AND s.stripe = ANY (w.stripes)
            HAVING bool_and(s.client IS NULL AND NOT EXISTS (
                SELECT FROM stripe_lock_1.waiter q
                WHERE q.space = a_space AND q.stripe = s.stripe AND q.turn < w.turn));
        CONTINUE WHEN v_top IS NULL;
        IF w.stripes <@ a_stripes THEN
            UPDATE stripe_lock_1.stripe s
                SET client = w.client, ticket = w.ticket, fence = v_top + 1024, tail = v_top + 1024, queued = s.queued - 1
                WHERE s.space = a_space AND s.stripe = ANY (w.stripes);
            DELETE FROM stripe_lock_1.waiter q
                WHERE q.space = a_space AND q.stripe = ANY (w.stripes) AND q.turn = w.turn;
        END IF;
        IF (w.client, w.ticket) <> (a_client, a_ticket) THEN
            PERFORM pg_notify('stripe_lock_' || w.client,
                w.ticket || CASE WHEN w.stripes <@ a_stripes THEN ' ' || v_top + 1024 ELSE '' END);
        END IF;
    END LOOP;
END $$;

-- Puts a ticket into the queues of all its stripes at once, or returns the state of a known ticket.
-- state: 'g' granted, 'q' queued, 'b' busy (without a_wait), 'd' the client is dead.
CREATE OR REPLACE FUNCTION stripe_lock_1.take(
    a_space integer, a_client uuid, a_ticket bigint, a_stripes integer[], a_wait boolean,
    OUT state "char", OUT fence bigint, OUT again_ms bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_free bigint;
    v_top bigint;
    v_opens timestamptz;
BEGIN
    -- One statement takes one free stripe. Whether the stripe is free depends on its row alone, so the decision is also
    -- right after a wait for the row.
    IF cardinality(a_stripes) = 1 THEN
        UPDATE stripe_lock_1.stripe s
            SET client = a_client, ticket = a_ticket, fence = s.tail + 1024, tail = s.tail + 1024
            WHERE s.space = a_space AND s.stripe = a_stripes[1] AND s.client IS NULL AND s.queued = 0
            AND EXISTS (SELECT FROM stripe_lock_1.client c WHERE c.id = a_client AND c.opens <= clock_timestamp())
            RETURNING s.fence INTO fence;
        IF FOUND THEN
            state := 'g';
            RETURN;
        END IF;
    END IF;
    SELECT count(*) FILTER (WHERE l.client IS NULL AND l.queued = 0), max(l.tail),
            max(l.fence) FILTER (WHERE l.client = a_client AND l.ticket = a_ticket)
        INTO v_free, v_top, fence
        FROM (SELECT s.client, s.ticket, s.queued, s.tail, s.fence FROM stripe_lock_1.stripe s
              WHERE s.space = a_space AND s.stripe = ANY (a_stripes) ORDER BY s.stripe FOR UPDATE) l;
    SELECT c.opens INTO v_opens FROM stripe_lock_1.client c WHERE c.id = a_client;
    IF NOT FOUND THEN
        state := 'd';
        RETURN;
    END IF;
    state := 'g';
    IF fence IS NOT NULL THEN
        RETURN;
    END IF;
    IF v_opens <= clock_timestamp() THEN
        IF v_free = cardinality(a_stripes) THEN
            fence := v_top + 1024;
            UPDATE stripe_lock_1.stripe s
                SET client = a_client, ticket = a_ticket, fence = take.fence, tail = take.fence
                WHERE s.space = a_space AND s.stripe = ANY (a_stripes);
            RETURN;
        END IF;
        IF NOT EXISTS (
            SELECT FROM stripe_lock_1.waiter q
            WHERE q.space = a_space AND q.stripe = a_stripes[1] AND q.client = a_client AND q.ticket = a_ticket)
        THEN
            INSERT INTO stripe_lock_1.waiter
                SELECT a_space, n, v_top + 1, a_client, a_ticket, a_stripes FROM unnest(a_stripes) n;
            UPDATE stripe_lock_1.stripe s SET tail = v_top + 1, queued = s.queued + 1
                WHERE s.space = a_space AND s.stripe = ANY (a_stripes);
        END IF;
        PERFORM stripe_lock_1.serve(a_space, a_stripes, a_client, a_ticket);
        SELECT s.fence INTO fence FROM stripe_lock_1.stripe s
            WHERE s.space = a_space AND s.stripe = a_stripes[1] AND s.client = a_client AND s.ticket = a_ticket;
        IF fence IS NOT NULL THEN
            RETURN;
        END IF;
        IF NOT a_wait THEN
            PERFORM stripe_lock_1.give_back(a_space, a_client, a_ticket, a_stripes);
        END IF;
    END IF;
    state := CASE WHEN a_wait THEN 'q' ELSE 'b' END;
    -- When the first lease in the way expires, unless it is renewed. Null if only this client is in the way.
    SELECT ceil(extract(epoch FROM min(c.expires) - clock_timestamp()) * 1000)::bigint
        INTO again_ms FROM stripe_lock_1.client c WHERE c.id <> a_client AND c.id IN (
            SELECT s.client FROM stripe_lock_1.stripe s WHERE s.space = a_space AND s.stripe = ANY (a_stripes)
            UNION SELECT q.client FROM stripe_lock_1.waiter q WHERE q.space = a_space AND q.stripe = ANY (a_stripes));
    IF v_opens > clock_timestamp() THEN
        again_ms := ceil(extract(epoch FROM v_opens - clock_timestamp()) * 1000)::bigint;
    END IF;
END $$;

-- Releases what a ticket holds, or removes it from the queues. Returns true if it held all of its stripes.
CREATE OR REPLACE FUNCTION stripe_lock_1.give_back(a_space integer, a_client uuid, a_ticket bigint, a_stripes integer[])
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_held bigint;
    v_queued bigint;
BEGIN
    IF cardinality(a_stripes) = 1 THEN
        UPDATE stripe_lock_1.stripe s SET client = NULL
            WHERE s.space = a_space AND s.stripe = a_stripes[1] AND s.client = a_client AND s.ticket = a_ticket
            AND s.queued = 0;
        IF FOUND THEN
            RETURN true;
        END IF;
    END IF;
    SELECT count(*) FILTER (WHERE l.client = a_client AND l.ticket = a_ticket), sum(l.queued)
        INTO v_held, v_queued
        FROM (SELECT s.client, s.ticket, s.queued FROM stripe_lock_1.stripe s
              WHERE s.space = a_space AND s.stripe = ANY (a_stripes) ORDER BY s.stripe FOR UPDATE) l;
    IF v_held > 0 THEN
        UPDATE stripe_lock_1.stripe s SET client = NULL
            WHERE s.space = a_space AND s.stripe = ANY (a_stripes) AND s.client = a_client AND s.ticket = a_ticket;
    END IF;
    IF v_queued > 0 THEN
        IF v_held = 0 THEN
            DELETE FROM stripe_lock_1.waiter q
                WHERE q.space = a_space AND q.stripe = ANY (a_stripes) AND q.client = a_client AND q.ticket = a_ticket;
            IF FOUND THEN
                PERFORM stripe_lock_1.count_queued(a_space, a_stripes);
            END IF;
        END IF;
        PERFORM stripe_lock_1.serve(a_space, a_stripes, a_client, a_ticket);
    END IF;
    RETURN v_held = cardinality(a_stripes);
END $$;

-- The tickets of a client that hold or wait for stripes although the client no longer knows them. They come from calls
-- that arrived after their connection had failed and their ticket was given back.
CREATE OR REPLACE FUNCTION stripe_lock_1.strays(
    a_space integer, a_client uuid, a_known bigint[], a_last bigint, OUT ticket bigint, OUT stripes integer[]
) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT h.ticket, array_agg(DISTINCT h.stripe ORDER BY h.stripe) FROM (
        SELECT s.ticket, s.stripe FROM stripe_lock_1.stripe s WHERE s.space = a_space AND s.client = a_client
        UNION SELECT q.ticket, q.stripe FROM stripe_lock_1.waiter q WHERE q.space = a_space AND q.client = a_client) h
    WHERE h.ticket <= a_last AND h.ticket <> ALL (a_known) GROUP BY h.ticket
$$;
