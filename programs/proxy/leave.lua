-- Leaves an API that hangs with the requests that it has: HAProxy ends them, sends a GET to another API, and answers 502
-- to what changes something. Loaded by haproxy.cfg.
--
-- `on-marked-down shutdown-sessions` would do the same for each API that goes down. Where a whole host is gone, it would
-- also end the requests that HAProxy is just trying to send there, which get another API by themselves.

-- Milliseconds between two looks.
local LOOK = 500

core.register_task(function()
    while true do
        core.msleep(LOOK)
        for _, proxy in pairs(core.proxies) do
            for name, server in pairs(proxy.servers) do
                local known = server:get_stats()
                -- It takes connections, and answers no check: a host that is gone is L4TOUT.
                if known.status == "DOWN" and known.check_status == "L7TOUT" and tonumber(known.scur) > 0 then
                    core.Warning("leaving " .. name .. ", which answers no check, with " .. known.scur .. " requests")
                    server:shut_sess()
                end
            end
        end
    end
end)
