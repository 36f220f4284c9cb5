# nginx/nginx.conf, for the package: nginx runs as www-data from the beginning, logs to the journal and /var/log/afterlive, and calls the programs by their
# installed names.
1,/^# make demo/c\
# The origin: takes live streams over RTMP, serves them as live HLS, records them, and\
# hands every finished recording to afterlive. Read by afterlive-origin.service.\
#\
# To let encoders in from outside: "listen 1935;" below, without the two lines on\
# publishers, and a key in /etc/afterlive/publish.conf. Then restart the service.
/^user www-data;/d
s|^pid .*|pid /run/afterlive-origin/nginx.pid;|
s|^error_log .*|error_log stderr notice;|
s|/usr/local/bin/enqueue|/usr/bin/afterlive|g
s|/var/lib/afterlive/hook\.log|/var/log/afterlive/hook.log|g
s|/var/lib/afterlive/publish|/etc/afterlive/publish|g
s|^rtmp \{|rtmp {\n    access_log off;|
/^worker_rlimit_nofile/d
