#!/bin/sh
# Makes clip.mp4: three seconds of a ferry at sunset. Needs ffmpeg with libx264.
set -eu
cd "$(dirname "$0")"
ffmpeg -y -hide_banner -loglevel error -filter_complex "
gradients=s=576x1024:r=30:d=3:n=3:c0=0x1b1464:c1=0xff5d7a:c2=0xffc371:x0=288:y0=0:x1=288:y1=720:speed=0.00001[sky];
color=0xfff1c9:s=200x200:r=30:d=3,format=yuva420p,geq=lum='p(X,Y)':a='255*clip(100-hypot(X-99.5,Y-99.5),0,1)'[sun];
color=0x1f7a8c:s=576x324:r=30:d=3,format=yuva420p,geq=lum='p(X,Y)':a='255*clip(Y-24-12*sin(X/46+2.1*T)-6*sin(X/19-2.1*T),0,1)'[far];
color=0x0b3c5d:s=576x250:r=30:d=3,format=yuva420p,geq=lum='p(X,Y)':a='255*clip(Y-24-14*sin(X/61-4.2*T)-5*sin(X/23-4.2*T),0,1)'[near];
color=0x7d1128:s=300x56:r=30:d=3,format=yuva420p,geq=lum='p(X,Y)':a='255*clip(X-Y*0.7,0,1)*clip(300-Y*0.7-X,0,1)'[hull];
color=black@0:s=300x130:r=30:d=3,format=yuva420p,
drawbox=24:70:52:60:0x25c9d0:fill:replace=1,drawbox=82:70:52:60:0xffd166:fill:replace=1,drawbox=140:70:52:60:0xef476f:fill:replace=1,
drawbox=52:4:52:60:0xef476f:fill:replace=1,drawbox=110:4:52:60:0x25c9d0:fill:replace=1,
drawbox=208:40:60:90:white:fill:replace=1,drawbox=218:54:40:20:0x1b1464:fill:replace=1[deck];
[sky][sun]overlay=x=330:y='390+40*t'[a];
[a][far]overlay=y=700[b];
[b][deck]overlay=x='-40+130*t':y='634+7*sin(3*t)'[c];
[c][hull]overlay=x='-40+130*t':y='764+7*sin(3*t)'[d];
[d][near]overlay=y=774,format=yuv420p" \
-t 3 -c:v libx264 -preset veryslow -tune animation -level 3.1 -crf 28 -threads 1 \
-bitexact -fflags +bitexact -map_metadata -1 -movflags +faststart clip.mp4
