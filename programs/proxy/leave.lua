-- Ends the requests of an API that hangs: HAProxy repeats a GET at another API, and answers 502 to a request that changes
-- something. Loaded by haproxy.cfg.
--
-- `on-marked-down shutdown-sessions` would do so for every API that goes down. If a whole host is gone, that would also
-- end the requests that HAProxy is still trying to send there, and which get another API anyway.

-- Milliseconds between two checks.
local INTERVAL = 500

core.register_task(function()
    while true do
        core.msleep(INTERVAL)
        for _, proxy in pairs(core.proxies) do
            for name, server in pairs(proxy.servers) do
                local stats = server:get_stats()
                -- The API accepts connections and does not answer checks. (L4TOUT would be a host that is gone.)
                if stats.status == "DOWN" and stats.check_status == "L7TOUT" and tonumber(stats.scur) > 0 then
                    core.Warning("ending " .. stats.scur .. " requests of " .. name .. ", which does not answer health checks")
                    server:shut_sess()
                end
            end
        end
    end
end)
